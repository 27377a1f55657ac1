"""The runs that are watched: what their files say while a training, perhaps of another process, writes them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from ganatomy.errors import Refused
from ganatomy.machine.places import get_lock_file, is_locked
from ganatomy.training.run import Run
from ganatomy.training.stop_request import request_stop

LOG_FILE, GRID_FOLDER = "log.jsonl", "fakes"


class LogPart(NamedTuple):
    """Ticks of a log.

    Args:
        ticks: the lines that are complete, as they were written.
        end: bytes of the file up to the last of them.
        begun_anew: whether the file is shorter than what was read before, since its training was resumed earlier.
    """

    ticks: list[dict[str, Any]]
    end: int
    begun_anew: bool


class WatchedRun:
    """A run folder, which may be written at the same time.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.name

    @property
    def is_training(self) -> bool:
        """Whether a command is training it now."""
        return is_locked(get_lock_file(self.path))

    def describe(self) -> dict[str, Any]:
        """Describe the run: recipe, length, whether it is being trained, and what is wrong with it, if anything is."""
        about: dict[str, Any] = {"name": self.name, "training": self.is_training, "grids": self.list_grids()}
        try:
            recipe = Run(self.path).recipe
        except Refused as refusal:
            return about | {"problem": str(refusal), "recipe": "", "total": None}
        return about | {"problem": None, "recipe": recipe.name, "total": recipe.total_images}

    def read_log(self, start: int = 0) -> LogPart:
        """Read the ticks that were written after `start` bytes; a line that is not complete yet is left for later."""
        file = self.path / LOG_FILE
        if not file.exists():
            return LogPart([], 0, start > 0)
        begun_anew = file.stat().st_size < start
        with file.open("rb") as opened:
            opened.seek(0 if begun_anew else start)
            text = opened.read()
        whole = text[: text.rfind(b"\n") + 1]
        ticks = [tick for line in whole.splitlines() if (tick := _read_tick(line)) is not None]
        return LogPart(ticks, (0 if begun_anew else start) + len(whole), begun_anew)

    def list_grids(self) -> list[int]:
        """List the counts of images at which a grid of samples was drawn."""
        return sorted(int(file.stem) for file in (self.path / GRID_FOLDER).glob("[0-9]*.png") if file.stem.isdigit())

    def find_grid(self, images: int) -> Path:
        """Find the grid that was drawn after so many images.

        Raises:
            Refused: there is none.
        """
        if images not in self.list_grids():
            raise Refused(f"{self.name} has no grid of samples after {images} images.")
        return self.path / GRID_FOLDER / f"{images:09d}.png"

    def stop(self) -> str:
        """Ask the training to save a checkpoint and to stop after its current step; returns a sentence.

        Raises:
            Refused: no command is training it.
        """
        if not self.is_training:
            raise Refused(f"{self.name} is not being trained now, so that there is nothing to stop.")
        request_stop(self.path)
        return f"{self.name} stops after its current step with a checkpoint; the same train command continues it."


def _read_tick(line: bytes) -> dict[str, Any] | None:
    """Read a line of a log; None if it is damaged."""
    try:
        tick = json.loads(line)
    except ValueError:
        return None
    return tick if isinstance(tick, dict) and isinstance(tick.get("images"), int) else None


def list_watched_runs(path: Path) -> list[WatchedRun]:
    """List a run, or the runs of a folder of runs in the order of their numbers; empty for anything else."""
    if (path / "recipe.json").is_file():
        return [WatchedRun(path)]
    return [WatchedRun(file.parent) for file in sorted(path.glob("[0-9]*-*/recipe.json"))]
