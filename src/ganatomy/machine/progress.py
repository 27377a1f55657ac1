"""Progress display: a bar on a terminal, plain lines elsewhere, nothing with --quiet."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 10.0  # between two plain lines
SECONDS_OF_SILENCE = 2.5  # longest time without output under `heartbeat`, and time before the first plain line
COLUMNS = 80  # largest width of a plain line
BAR_COLUMNS = 10

quiet = False
_last_words = time.monotonic()  # time of the last output


def say(text: str) -> None:
    """Print a line for the user on standard output. Characters that the terminal cannot show become escapes."""
    if not quiet:
        _note_words()
        known = sys.stdout.encoding or "utf-8"
        print(text.encode(known, "backslashreplace").decode(known), flush=True)


def format_name(name: str) -> str:
    """Format a file name as one line; bytes that are not UTF-8, line separators and controls become escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class ProgressBar:
    """Progress of a piece of work: the number of finished pieces, and a short note."""

    def __init__(self, label: str, total: int | None, progress: Progress | None) -> None:
        self.label, self.total, self.done, self.already_done = label, total, 0, 0
        self._progress = progress
        self._task = progress.add_task(label, total=total, words="", left="") if progress else None
        self._start = time.monotonic()
        self._due = self._start + SECONDS_OF_SILENCE

    def advance(self, n: int = 1, note: str = "", left: str | None = None) -> None:
        """Count further finished pieces.

        Args:
            n: number of pieces.
            note: a few words.
            left: the remaining time in words; None = an estimate from the finished pieces.
        """
        self.done += n
        left = self._estimate_left() if left is None else left
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self.done, words=note, left=left)
        elif not quiet and time.monotonic() > self._due:
            self._due = time.monotonic() + SECONDS_BETWEEN_LINES
            _print_line(self.describe(note, left))

    def describe(self, note: str = "", left: str = "") -> str:
        """Describe the progress in one line of at most 80 columns."""
        count = str(self.done) if self.total is None else f"{self.done} of {self.total}"
        ends = [f"{self.label}: {count}", *([f"{left} left"] if left else [])]
        room = COLUMNS - len(", ".join(ends)) - 2
        return ", ".join([ends[0], *([note[:room]] if note and room > 0 else []), *ends[1:]])[:COLUMNS]

    def _estimate_left(self) -> str:
        now = self.done - self.already_done
        if self.total is None or now == 0:
            return ""
        return format_seconds((time.monotonic() - self._start) / now * (self.total - self.done))


def format_seconds(seconds: float) -> str:
    """Format a time in its two largest units, such as ``2 d 3 h``."""
    left = max(0, round(seconds))
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next((i for i, (size, _) in enumerate(units) if left >= size), len(units) - 1)
    words: list[str] = []
    for size, name in units[first : first + 2]:
        count, left = divmod(left, size)
        words += [f"{count} {name}"] if count or not words else []
    return " ".join(words)


@contextmanager
def bar(label: str, total: int | None, done: int = 0) -> Iterator[ProgressBar]:
    """Show a bar over `total` pieces of work (None = unknown), of which `done` were finished before."""
    if quiet or not sys.stderr.isatty():
        shown = ProgressBar(label, total, None)
        shown.done = shown.already_done = done
        with _be_current(shown):
            yield shown
        return
    with make_display(Console(stderr=True)) as progress:
        shown = ProgressBar(label, total, progress)
        shown.already_done = done
        shown.advance(done)
        with _be_current(shown):
            yield shown


def make_display(console: Console) -> Progress:
    """Make the bar of a terminal: one line of at most 80 columns."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(BAR_COLUMNS),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", style="cyan"),
    )
    return Progress(*columns, console=console)


# ----------------------------------------------------------------------------------------------------------------------
# Output at regular intervals.

_current: list[ProgressBar] = []  # bars of the current work, the innermost last


@contextmanager
def _be_current(shown: ProgressBar) -> Iterator[None]:
    _current.append(shown)
    try:
        yield
    finally:
        _current.remove(shown)


@contextmanager
def heartbeat(label: str) -> Iterator[None]:
    """Print the current work and its duration whenever nothing was printed for some seconds.

    Args:
        label: name of the work, for times without a bar.
    """
    if quiet:
        yield
        return
    start, ended = time.monotonic(), threading.Event()
    _note_words()

    def beat() -> None:
        while not ended.wait(SECONDS_OF_SILENCE / 10):
            animated = bool(_current) and sys.stderr.isatty()
            if not animated and time.monotonic() - _last_words > SECONDS_OF_SILENCE:
                words = _current[-1].describe() if _current else label
                _print_line(f"{words} ({format_seconds(time.monotonic() - start)} so far)")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _print_line(text: str) -> None:
    _note_words()
    print(text, file=sys.stderr, flush=True)


def _note_words() -> None:
    global _last_words
    _last_words = time.monotonic()
