"""Limits of address space and time within which this process does a piece of work that it does not trust."""

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

ALARM_SECONDS = 1.0  # after which an alarm that a library has swallowed rings again
GRACE_SECONDS = 30.0  # after the limit, until a worker that does not hear the alarm is ended


class Limits(NamedTuple):
    """What reading may take, by the size of the files.

    Args:
        memory: bytes of address space, beyond what the process has.
        memory_per_byte: more of it for each byte of the files.
        seconds: by the clock on the wall.
        seconds_per_byte: more of them for each byte of the files.
    """

    memory: int = 4 * 2**30
    memory_per_byte: int = 16
    seconds: float = 120.0
    seconds_per_byte: float = 1e-6

    def scale_memory(self, size: int) -> int:
        """Bytes that the reading of files of so many bytes may take."""
        return self.memory + self.memory_per_byte * size

    def scale_seconds(self, size: int) -> float:
        """Seconds that the reading of files of so many bytes may take."""
        return self.seconds + self.seconds_per_byte * size


LIMITS = Limits()


class TimeUp(BaseException):
    """The time of `limit_process` is over; no `Exception`, so that no library takes it for one of its own."""


@contextmanager
def limit_process(memory: int, seconds: float) -> Iterator[None]:
    """Bound what the block takes; afterwards all is as before.

    An allocation that goes beyond the memory fails: most often as MemoryError, in some libraries by ending the process.
    The time is told by a signal. Where a library in C does not let Python hear it, a worker process ends
    `GRACE_SECONDS` later; a process that is no worker goes on waiting. Threads other than the first have no limits,
    since both are of the whole process; Dask bounds the memory of such workers.

    Args:
        memory: bytes of address space, beyond what the process has now.
        seconds: by the clock on the wall.

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
    """A soft limit, which a process may lift again; none where the system has none."""
    if resource is None:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [limit for limit in (before, hard) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):  # macOS knows the limit by name only
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
    """Where `faulthandler` writes a traceback that nobody needs; it has to stay open."""
    global _nowhere
    _nowhere = _nowhere or open(os.devnull, "w")  # noqa: SIM115
    return _nowhere
