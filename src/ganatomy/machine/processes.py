"""A pool of worker processes that ends with its parent."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers that are started anew (forking a process that has used zarr may hang) and leave when the parent does.

    When the block ends early, work that has not begun is dropped and work in hand is finished.
    """
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=initialise_worker)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def initialise_worker() -> None:
    """In the worker: leave Ctrl-C to the parent, and go when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
