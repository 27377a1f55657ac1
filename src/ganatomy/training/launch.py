"""Starting a command as several processes on this machine, with PyTorch's launcher."""

import os
import sys

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ganatomy.errors import Ended, Interrupted, Refused

RUN_ID = "ganatomy"  # value of TORCHELASTIC_RUN_ID in the processes


class ProcessFailedError(Ended):
    """One of several processes has ended with an error, whose message it has already printed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def launch_processes(processes: int, arguments: list[str]) -> None:
    """Run ``ganatomy ARGUMENTS`` as `processes` processes that train together, and wait until all have ended.

    A process that ends with an error is not started again. The user repeats the command, which continues from the last
    checkpoint.

    Raises:
        ProcessFailedError: a process has failed; the error has its exit code.
        Interrupted: SIGINT or SIGTERM was received; the processes have saved a checkpoint.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=RUN_ID,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
        monitor_interval=0.1,
        local_addr="127.0.0.1",
    )
    try:
        elastic_launch(config, sys.executable)("-m", "ganatomy", *arguments)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        code = failure.exitcode if failure.exitcode > 0 else 1
        how = f"exit code {failure.exitcode}" if failure.exitcode > 0 else f"signal {-failure.exitcode}"
        what = "its message says what to change" if code == Refused.exit_code else "the same command continues"
        raise ProcessFailedError(f"Process {number} of {processes} ended ({how}); {what}.", code) from None
    except SignalException as signal:
        raise Interrupted(f"{signal.sigval.name}: stopped; the same command continues.") from None
