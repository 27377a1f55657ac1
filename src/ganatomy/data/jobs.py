"""Work on the parts of a store: in this process, in a pool of processes, or on a Dask cluster.

A job consists of a part's number and its files. A part counts only when it is complete, so a job may be done twice and
a worker may end at any time.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ganatomy.errors import Refused
from ganatomy.machine.processes import worker_pool
from ganatomy.modalities.modality import Candidate

Job = tuple[int, list[Candidate]]
Work = Callable[[int, list[Candidate]], None]
JOBS_PER_WORKER = 4  # queued jobs per worker; bounds memory for any number of files
RETRIES = 2  # of a failed job on a cluster; if its worker ended, another worker gets it in any case


def run_serially(work: Work, jobs: Iterable[Job]) -> Iterator[int]:
    """Do the jobs one after another; yield the number of files of each."""
    for part, files in jobs:
        work(part, files)
        yield len(files)


def run_in_pool(work: Work, jobs: Iterable[Job], workers: int) -> Iterator[int]:
    """Do the jobs in `workers` processes of this machine; yield the number of files of each as it ends.

    Raises:
        BrokenProcessPool: a worker was ended from outside.
    """
    with worker_pool(workers, work) as executor:
        running: dict[Future[None], int] = {}
        waiting = iter(jobs)
        while True:
            while len(running) < workers * JOBS_PER_WORKER and (job := next(waiting, None)) is not None:
                running[executor.submit(work, *job)] = len(job[1])
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                yield running.pop(future)


def run_on_cluster(work: Work, jobs: Iterable[Job], address: str) -> Iterator[int]:
    """Do the jobs on the workers of a Dask cluster; yield like `run_in_pool`.

    The workers must see the same folders and have this package.

    Raises:
        Refused: Dask is not installed, or no scheduler answers at the address.
        BrokenProcessPool: workers ended repeatedly on the same part.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise Refused("--dask needs the package distributed: pip install 'ganatomy[dask]'.") from error
    try:
        client: Any = Client(address, timeout=20)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise Refused(
            f"--dask {address}: no Dask scheduler answers ({why}); give its address, such as tcp://127.0.0.1:8786."
        ) from error
    with client:
        every = list(jobs)
        futures = client.map(_run_job, [work] * len(every), every, pure=False, retries=RETRIES)
        try:
            for future in as_completed(futures):
                yield future.result()
        except KilledWorker as error:
            raise BrokenProcessPool(str(error)) from error
        finally:
            client.cancel(futures)


def _run_job(work: Work, job: Job) -> int:
    work(*job)
    return len(job[1])
