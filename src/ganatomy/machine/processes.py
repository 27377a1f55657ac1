"""Processes that end with their parent: a pool of workers, and a child process that runs another program."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

STANDARD_INPUT = 0  # its file descriptor


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Provide workers that end with their parent; they are spawned, since forking after the use of zarr may hang.

    If the block ends early, work that has not begun is dropped, and work that has begun is finished.
    """
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=initialise_worker)
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
