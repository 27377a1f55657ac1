"""Progress display: a bar on a terminal, plain lines elsewhere, nothing with --quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0  # between two plain lines

quiet = False


def say(text: str) -> None:
    """A line for the user, on standard output; what the terminal cannot show is written as an escape."""
    if not quiet:
        known = sys.stdout.encoding or "utf-8"
        print(text.encode(known, "backslashreplace").decode(known), flush=True)


def format_name(name: str) -> str:
    """A file's name as one line of text: bytes that are no UTF-8, line separators and controls become escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class ProgressBar:
    """What the work tells of itself: how much is done, and a few words beside."""

    def __init__(self, label: str, total: int | None, progress: Progress | None) -> None:
        self.label, self.total, self.done, self.already_done = label, total, 0, 0
        self._progress = progress
        self._task = progress.add_task(label, total=total, words="") if progress else None
        self._start = self._last = time.monotonic()

    def advance(self, n: int = 1, note: str = "") -> None:
        self.done += n
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, words=note)
        elif not quiet and time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"{self.label}: {self.done}{self._format_remaining()} {note}".rstrip(), file=sys.stderr, flush=True)

    def _format_remaining(self) -> str:
        if self.total is None:
            return ""
        rate = (self.done - self.already_done) / max(self._last - self._start, 1e-9)
        return f" of {self.total} ({(self.total - self.done) / max(rate, 1e-9):.0f} s left)"


@contextmanager
def bar(label: str, total: int | None, done: int = 0) -> Iterator[ProgressBar]:
    """A bar over `total` pieces of work (None = nobody knows how many), of which `done` were done before."""
    if quiet or not sys.stderr.isatty():
        shown = ProgressBar(label, total, None)
        shown.done = shown.already_done = done
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
        shown = ProgressBar(label, total, progress)
        shown.advance(done)
        yield shown
