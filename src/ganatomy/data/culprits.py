"""The search for files that end the process that reads them, because the decoder crashes or takes too much memory.

A worker leaves a mark while it works on a part, and the mark remains if the worker ends. After two marks, the files of
the part are read one by one in a separate process. Each file that ends this process is left out with a reason and not
read again.
"""

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.sandbox import TOO_LONG, describe_time_limit
from ganatomy.machine.limits import GRACE_SECONDS, Limits
from ganatomy.machine.places import get_temporary_path
from ganatomy.machine.processes import initialise_worker, make_worker_context
from ganatomy.modalities.modality import Candidate, Modality
from ganatomy.modalities.reading import read_to_grid

ENDS_UNTIL_SEARCH = 2  # after a part has ended so many workers, its files are read one by one
START_SECONDS = 120.0  # within this time a process must have begun
ENDS_READER = "ends the process that reads it"

Reasons = dict[str, tuple[str, str]]  # by name of the candidate: kind and detail of the reason why it is not read


@contextmanager
def mark_part(out: Path, part: int) -> Iterator[None]:
    """Keep a mark during the block; the mark remains if this process ends within the block."""
    mark = get_temporary_path(out / "parts" / f"{part:06d}.begun")
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def collect_marks(out: Path, parts: list[int]) -> Counter[int]:
    """Count the processes that have ended within each part, and remove their marks."""
    found: Counter[int] = Counter()
    wanted = set(parts)
    for mark in (out / "parts").glob(".*.begun.*.part"):
        told = re.match(r"\.(\d+)\.", mark.name)
        if told is not None and int(told[1]) in wanted:
            found[int(told[1])] += 1
            mark.unlink(missing_ok=True)
    return found


def find_culprits(modality: Modality, candidates: list[Candidate], limits: Limits) -> Reasons:
    """Read candidates one by one in a separate process; return those that end it, with reasons."""
    found: Reasons = {}
    left = list(candidates)
    while left:
        read, end = _read_until_end(modality, left, limits)
        if read is None or read == len(left):
            return found
        found[left[read].name] = end
        left = left[read + 1 :]
    return found


def _read_until_end(
    modality: Modality, candidates: list[Candidate], limits: Limits
) -> tuple[int | None, tuple[str, str]]:
    """Count the candidates read before the process ended (None = it did not begin); return also the reason."""
    context = make_worker_context(modality)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_read_all, args=(modality, candidates, limits, there), daemon=True)
    process.start()
    there.close()
    read, allowed = -1, START_SECONDS  # the first message says that the process has begun
    try:
        while read < len(candidates) and here.poll(allowed):
            here.recv()
            read += 1
            if read < len(candidates):
                size = sum(path.stat().st_size for path in candidates[read].paths if path.exists())
                allowed = limits.scale_seconds(size) + GRACE_SECONDS / 2
        late = read < len(candidates)
    except EOFError:
        late = False
    finally:
        if process.is_alive() and read < len(candidates):
            process.kill()
        process.join()
        here.close()
    if read < 0:
        return None, ("", "")
    return read, (TOO_LONG, describe_time_limit(allowed)) if late else (ENDS_READER, _describe_end(process.exitcode))


def _read_all(modality: Modality, candidates: list[Candidate], limits: Limits, there: Connection) -> None:
    """Report, from within the process, that it has begun, and then that each candidate has been read."""
    initialise_worker()
    there.send(None)
    for candidate in candidates:
        with suppress(UnusableImage):  # this is reported when the part is done
            read_to_grid(modality, candidate, limits)
        there.send(None)


def _describe_end(code: int | None) -> str:
    told = f"exit code {code}"
    if code is not None and code < 0:
        told = signal.Signals(-code).name
    if code == -signal.SIGKILL:
        told += ", most often for lack of memory"
    return f"{told}; copy it again from its origin, or store it in another transfer syntax or format"
