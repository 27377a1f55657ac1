"""Reading of a foreign file so that whatever it does ends in an image or in a reason with the file's name beside it."""

import errno
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ganatomy.errors import Ended
from ganatomy.imaging.image import UnusableImage
from ganatomy.machine.limits import LIMITS, Limits, TimeUp, limit_process

TOO_MUCH_MEMORY, TOO_LONG, UNFORESEEN = "takes too much memory", "takes too long", "unforeseen error"

_state = threading.local()  # whether this thread is within a sandbox already


@contextmanager
def reading_sandbox(paths: Iterable[Path], limits: Limits | None = None) -> Iterator[None]:
    """Read files within limits; any exception becomes a reason.

    An assertion or a bug of our own becomes a reason, too, since one file must not stop the others: it is counted as
    an unforeseen error, and its detail names the module and the line. Within another sandbox this one does nothing.

    Args:
        paths: the files, whose size decides the limits.
        limits: of address space and time; None = `LIMITS`.

    Raises:
        UnusableImage: the block has raised anything but a sentence for the user (`Ended`) or a request to stop.
    """
    if getattr(_state, "is_within", False):
        yield
        return
    size = sum(_measure_file(path) for path in paths)
    limits = limits or LIMITS
    memory, seconds = limits.scale_memory(size), limits.scale_seconds(size)
    _state.is_within = True
    try:
        with limit_process(memory, seconds):
            yield
    except (Ended, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # panics of libraries in Rust are no Exception
        raise _explain(error, memory, seconds) from error
    finally:
        _state.is_within = False


def describe_time_limit(seconds: float) -> str:
    """Make the detail of the reason `TOO_LONG`."""
    return f"more than {seconds:.0f} s; it is broken or made to do harm, or lies on a very slow disk: copy it again"


def _explain(error: BaseException, memory: int, seconds: float) -> UnusableImage:
    causes = list(_list_causes(error))
    if any(isinstance(one, TimeUp) for one in causes):
        return UnusableImage(TOO_LONG, describe_time_limit(seconds))
    if any(_is_out_of_memory(one) for one in causes):
        return UnusableImage(
            TOO_MUCH_MEMORY,
            f"more than {memory / 2**30:.1f} GiB for its size; it is broken or made to do harm: copy it again, or store"
            " it without compression",
        )
    if isinstance(error, UnusableImage):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    first = (str(error).splitlines() or [""])[0]
    words = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return UnusableImage(UNFORESEEN, f"{words} ({Path(where.filename).name}, line {where.lineno})")


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and the errors from which, or during whose handling, it was raised."""
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        yield now
        now = now.__cause__ or now.__context__


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def _measure_file(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has gone; reading tells
        return 0
