"""Processes that end with their parent: a pool of workers, and a child process that runs another program."""

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

STANDARD_INPUT = 0  # its file descriptor


_main_lock = threading.Lock()


class _WorkerProcess(SpawnProcess):
    """A process that is started anew and does not import the script of its parent.

    Python's own spawned process runs the script again, so that what the script defines can be unpickled, and a script
    without ``if __name__ == "__main__"`` would do its work twice and fail (docs.python.org, multiprocessing, "Safe
    importing of main module"). What our workers do is defined in this package.
    """

    def start(self) -> None:
        """Start it. The child is told to import what is ``__main__`` now, and for these milliseconds nothing is."""
        with _main_lock:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = main


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess


def make_worker_context(*needed: Any) -> SpawnContext:
    """How workers are started: anew, since forking a process that has used zarr may hang.

    Args:
        needed: what they are sent besides names of files. If the script of this process defines any of it, such as a
            modality of the user's own, the workers have to import the script, which then needs its
            ``if __name__ == "__main__"``.
    """
    defined_by_script = any(b"__main__" in pickle.dumps(one) for one in needed)
    return multiprocessing.get_context("spawn") if defined_by_script else _WorkerContext()


@contextmanager
def worker_pool(workers: int, *needed: Any) -> Iterator[ProcessPoolExecutor]:
    """Provide workers that are started anew and end with their parent.

    If the block ends early, work that has not begun is dropped, and work that has begun is finished.

    Args:
        workers: number of processes.
        needed: as in `make_worker_context`.
    """
    executor = ProcessPoolExecutor(workers, make_worker_context(*needed), initializer=initialise_worker)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def initialise_worker() -> None:
    """Prepare a worker: leave Ctrl-C to the parent, and end when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def run_child(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a program that calls `exit_with_standard_input` to its end, and return it with its output as text.

    Its standard input is a pipe that ends when this process ends, for any reason.
    """
    reading, writing = os.pipe()  # no child inherits the writing end
    try:
        return subprocess.run(command, stdin=reading, capture_output=True, text=True, check=False)
    finally:
        os.close(reading)
        os.close(writing)


def exit_with_standard_input() -> None:
    """Make this process, a child of `run_child`, end when its parent has ended."""
    threading.Thread(target=_wait_for_end_of_input, daemon=True).start()


def _wait_for_end_of_input() -> None:
    while os.read(STANDARD_INPUT, 1):  # `sys.stdin` has a lock, which would be held when Python ends
        pass
    os._exit(1)
