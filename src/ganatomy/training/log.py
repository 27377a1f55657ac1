"""The log of a run: one JSON line per tick, and the calls of the trackers."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.machine import progress
from ganatomy.machine.places import DISK_FULL_ERRORS
from ganatomy.training.tracking.tracker import Tracker


class Log:
    """Scalars, pictures and snapshots of a run, by images seen. A resumed run appends to the same files.

    Args:
        folder: the run.
        images: seen so far.
        trackers: told all that is told here.
        settings: of the training, for the trackers.
    """

    def __init__(
        self, folder: Path, images: int, trackers: Sequence[Tracker] = (), settings: Mapping[str, Any] | None = None
    ) -> None:
        self._path = folder / "log.jsonl"
        self._drop_after(images)
        self._trackers = list(trackers)
        self._tell(lambda tracker: tracker.begin(folder, images, settings or {}))

    def _drop_after(self, images: int) -> None:
        """Remove the ticks after the checkpoint from which the run continues, which would otherwise occur twice."""
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            self._path.write_text("".join(line for line in lines if _is_tick_until(line, images)), encoding="utf-8")

    def _tell(self, call: Callable[[Tracker], None]) -> None:
        """Call every tracker; one that fails, for example because its server is gone, is not called again."""
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except Exception as error:
                if isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS:
                    raise
                self._trackers.remove(tracker)
                progress.say(
                    f"{type(tracker).__name__} has failed ({type(error).__name__}: {error}); the training goes on"
                    f" without it, and {self._path.name} has all values."
                )

    def write_scalars(self, images: int, values: Mapping[str, float]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"images": images, **{k: round(v, 6) for k, v in values.items()}}) + "\n")
        self._tell(lambda tracker: tracker.write_scalars(images, values))

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._tell(lambda tracker: tracker.write_picture(images, name, pixels))

    def write_snapshot(self, images: int, folder: Path) -> None:
        self._tell(lambda tracker: tracker.write_snapshot(images, folder))

    def close(self) -> None:
        self._tell(lambda tracker: tracker.close())


def _is_tick_until(line: str, images: int) -> bool:
    """Return whether a line is a complete tick of at most `images` images; for a damaged line, return False."""
    try:
        return line.endswith("\n") and bool(json.loads(line)["images"] <= images)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
