"""Limits of memory and time for work of this process that may go wrong, such as decoding of unknown files."""

import faulthandler
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple

import psutil

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

ALARM_SECONDS = 1.0  # interval at which the alarm is repeated, in case a library has caught it
GRACE_SECONDS = 30.0  # time after the limit until a worker that does not react to the alarm is ended


class Limits(NamedTuple):
    """Limits of the reading of files, which depend on the size of the files.

    Args:
        memory: bytes of address space in addition to those that the process has.
        memory_per_byte: further bytes for each byte of the files.
        seconds: wall-clock time in seconds.
        seconds_per_byte: further seconds for each byte of the files.
    """

    memory: int = 4 * 2**30
    memory_per_byte: int = 16
    seconds: float = 120.0
    seconds_per_byte: float = 1e-6

    def scale_memory(self, size: int) -> int:
        """Return the bytes of memory that reading files of `size` bytes may take."""
        return self.memory + self.memory_per_byte * size

    def scale_seconds(self, size: int) -> float:
        """Return the seconds that reading files of `size` bytes may take."""
        return self.seconds + self.seconds_per_byte * size


LIMITS = Limits()


class TimeUp(BaseException):
    """The time of `limit_process` is over. It is not an `Exception`, so that libraries do not catch it."""


@contextmanager
def limit_process(memory: int, seconds: float) -> Iterator[None]:
    """Limit memory and time of the block; afterwards the previous limits apply again.

    An allocation beyond the limit fails, usually with MemoryError; some libraries end the process instead. A signal
    enforces the time. If C code of a library keeps Python from handling the signal, a worker process is ended
    `GRACE_SECONDS` later, and any other process goes on waiting. Threads other than the main thread have no limits,
    because both limits apply to the whole process; Dask limits the memory of such workers.

    Args:
        memory: bytes of address space in addition to those that the process has.
        seconds: wall-clock time in seconds.

    Raises:
        TimeUp: the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _limit_address_space(memory), _limit_time(seconds):
        yield


@contextmanager
def _limit_address_space(memory: int) -> Iterator[None]:
    """Set a soft limit, which the process can raise again; without effect on systems that have no such limit."""
    if resource is None:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [limit for limit in (before, hard) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):  # macOS defines the limit but does not accept it
        resource.setrlimit(resource.RLIMIT_AS, (min([psutil.Process().memory_info().vms + memory, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


@contextmanager
def _limit_time(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _raise_time_up)
    if is_worker := multiprocessing.parent_process() is not None:
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True, file=_open_nowhere())
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, ALARM_SECONDS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if is_worker:
            faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def _raise_time_up(*_: Any) -> None:
    raise TimeUp


_nowhere: IO[str] | None = None


def _open_nowhere() -> IO[str]:
    """Open the null device, to which `faulthandler` writes its traceback; it has to remain open."""
    global _nowhere
    _nowhere = _nowhere or open(os.devnull, "w")  # noqa: SIM115
    return _nowhere
