"""A progress bar on a terminal, plain lines elsewhere, nothing when asked to be quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_SECONDS = 10.0  # between two plain lines

quiet = False


def say(text: str) -> None:
    """A line for the user, on standard output."""
    if not quiet:
        print(text, flush=True)


class Bar:
    """What the work tells of itself: how much is done, and a few words beside."""

    def __init__(self, what: str, total: int | None, progress: Progress | None) -> None:
        self.what, self.total, self.done, self.before = what, total, 0, 0
        self._progress = progress
        self._task = progress.add_task(what, total=total, words="") if progress else None
        self._start = self._last = time.monotonic()

    def advance(self, n: int = 1, words: str = "") -> None:
        self.done += n
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, words=words)
        elif not quiet and time.monotonic() - self._last > PLAIN_SECONDS:
            self._last = time.monotonic()
            print(f"{self.what}: {self.done}{self._left()} {words}".rstrip(), file=sys.stderr, flush=True)

    def _left(self) -> str:
        if self.total is None:
            return ""
        rate = (self.done - self.before) / max(self._last - self._start, 1e-9)
        return f" of {self.total} ({(self.total - self.done) / max(rate, 1e-9):.0f} s left)"


@contextmanager
def bar(what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
    """A bar over `total` pieces of work (None = nobody knows how many), of which `done` were done before."""
    if quiet or not sys.stderr.isatty():
        shown = Bar(what, total, None)
        shown.done = shown.before = done
        yield shown
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        shown = Bar(what, total, progress)
        shown.advance(done)
        yield shown
