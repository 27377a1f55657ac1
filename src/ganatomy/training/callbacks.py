"""Periodic work, done before a step: tick, grid, snapshot, checkpoint, and whether to stop."""

import shutil
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganatomy import checkpoint
from ganatomy.config import Value
from ganatomy.imaging import pictures
from ganatomy.imaging.pictures import grid, save_png
from ganatomy.machine import progress
from ganatomy.objectives.phase import Terms
from ganatomy.pyramid import written
from ganatomy.randomness import normal
from ganatomy.training import distributed
from ganatomy.training.log import Log
from ganatomy.training.run import KEPT_CHECKPOINTS, Run
from ganatomy.training.state import State

GRID = 16  # images of a grid, half of each value of the first condition


class Intervals(Value):
    """How often, in thousands of images; machine settings, not part of the recipe."""

    tick_kimg: float = Field(4, gt=0)
    grid_kimg: float = Field(40, gt=0)
    snapshot_kimg: float = Field(100, gt=0)
    checkpoint_kimg: float = Field(100, gt=0)


class Turns:
    """When what happens every so many images is due again; the same in every process."""

    def __init__(self, images: int) -> None:
        self._last = images
        self._fresh = images == 0

    def passed(self, images: int) -> bool:
        """Whether there has been a step since, or there was none before."""
        return self._fresh or images > self._last

    def due(self, images: int, kimg: float, ended: bool) -> bool:
        every = kimg * 1000
        return ended or self._fresh or images // every > self._last // every

    def done(self, images: int) -> None:
        self._fresh, self._last = False, images


class Follower:
    """What the processes beside the first have for a watch: it writes nothing, and stops when any process stops."""

    stop: str | None = None

    def __init__(self, intervals: Intervals, state: State) -> None:
        self._intervals, self._turns = intervals, Turns(state.images)

    def __call__(self, state: State) -> bool:
        ended = state.images >= state.recipe.total_images
        if self._turns.passed(state.images) and self._turns.due(state.images, self._intervals.checkpoint_kimg, ended):
            check_replicas(state)
        self._turns.done(state.images)
        self.stop = agreed_stop(self.stop, state)
        return self.stop is None

    def note(self, terms: Terms) -> None:
        """The first process notes the terms of all."""

    def words(self, state: State) -> str:
        return ""

    def close(self) -> None:
        """Nothing is open."""


def check_replicas(state: State) -> None:
    """The processes' weights are one and the same, or there is an error of ours or of the machine."""
    differ = distributed.replicas_differ(state.kept())
    assert not differ, f"the processes no longer have the same weights of {', '.join(differ)}"


def agreed_stop(stop: str | None, state: State) -> str | None:
    """Why to stop, if any process was told to."""
    device = next(state.ema.parameters()).device
    return (stop or "stopped with another process") if distributed.any_of(stop is not None, device) else None


class Watch:
    """Called before every step with the state; returns False when the run should stop here.

    Args:
        run: where to write.
        intervals: how often.
        about: what a snapshot says besides the recipe and the count.
        seed: of the run.
        conditions: condition vectors of the grid (GRID, conditions).
    """

    def __init__(
        self, run: Run, intervals: Intervals, about: dict[str, Any], seed: int, conditions: Tensor, state: State
    ) -> None:
        self._run, self._intervals, self._about, self._seed = run, intervals, about, seed
        self._conditions = conditions
        self._turns = Turns(state.images)
        self._log = Log(run.path, state.images)
        self._clock, self._clock_images = time.monotonic(), state.images
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self.stop: str | None = None

    def __call__(self, state: State) -> bool:
        ended = state.images >= state.recipe.total_images
        if self._turns.passed(state.images):
            self._periodic(state, ended)
        self._turns.done(state.images)
        self.stop = agreed_stop(self.stop, state)
        if self.stop and not ended:
            self._save_checkpoint(state)
        return self.stop is None

    def note(self, terms: Terms) -> None:
        """Add the terms of a step to the running means; no number leaves the device until the tick."""
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=term.device)) + term
        self._count += 1

    def words(self, state: State) -> str:
        """What the progress bar says."""
        seconds = max(time.monotonic() - self._clock, 1e-9)
        rate = (state.images - self._clock_images) / seconds
        shape = state.recipe.shown(min(state.images, state.recipe.total_images - 1)).reads[0].shape
        return f"images, {rate:.1f} images/s, {state.images / 1000:.1f} kimg, at {written(shape)}"

    def _periodic(self, state: State, ended: bool) -> None:
        def due(kimg: float) -> bool:
            return self._turns.due(state.images, kimg, ended)

        if due(self._intervals.tick_kimg) and self._count:
            self._tick(state)
        if due(self._intervals.grid_kimg):
            self._draw_grid(state)
        if due(self._intervals.snapshot_kimg) and state.images:
            self._save_snapshot(state)
        if due(self._intervals.checkpoint_kimg):
            check_replicas(state)
            if state.images:
                self._save_checkpoint(state)

    def _tick(self, state: State) -> None:
        values = {name: float(total) / self._count for name, total in self._sums.items()}
        moment = state.recipe.at(state.images, self._seed)
        seconds = max(time.monotonic() - self._clock, 1e-9)
        values |= {f"progress/{name}": value for name, value in moment.scope.told.items()}
        values |= {
            "progress/batch_size": float(moment.batch_size),
            "progress/learning_rate": next(iter(state.optimizers.values())).param_groups[0]["lr"],
            "progress/images_per_second": (state.images - self._clock_images) / seconds,
        }
        self._log.scalars(state.images, values)
        self._sums, self._count = {}, 0
        self._clock, self._clock_images = time.monotonic(), state.images

    def _draw_grid(self, state: State) -> None:
        device = next(state.ema.parameters()).device
        z = normal(self._seed, "grid", range(GRID), state.recipe.latent).to(device)
        scope = state.recipe.shown(state.images)
        flat = []
        with torch.inference_mode():
            for one, condition in zip(z, self._conditions.to(device), strict=True):  # one at a time: volumes are large
                (image, *_) = state.ema(one[None], condition[None], scope)
                flat.append(pictures.flat((image[0, 0].float().cpu().numpy() + 1) / 2))
        picture = grid(flat, columns=pictures.COLUMNS[len(scope.reads[0].shape)])
        save_png(picture, self._run.path / "fakes" / f"{state.images:09d}.png")
        self._log.picture(state.images, "fakes", picture)

    def _save_snapshot(self, state: State) -> None:
        folder = self._run.path / "snapshots" / f"{state.images:09d}"
        if not folder.exists():
            about = {"images": state.images, "seed": self._seed, **self._about}
            checkpoint.save_snapshot(folder, state.kept(), state.recipe, about)

    def _save_checkpoint(self, state: State) -> None:
        """Save all of the state, keep the last two."""
        folder = self._run.path / "checkpoints" / f"{state.images:09d}"
        if folder.exists():
            return
        checkpoint.save(folder, state.tensors(), {"counts": state.counts(), "seed": self._seed})
        for old in self._run.checkpoints()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)

    def close(self) -> None:
        self._log.close()


def stopping(watch: Watch | Follower) -> Callable[[], None]:
    """Let SIGINT and SIGTERM end the run after the step in hand, with a checkpoint; returns what undoes that.

    A second signal ends it at once.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if watch.stop:
            raise KeyboardInterrupt
        watch.stop = signal.Signals(number).name
        progress.say(f"{watch.stop}: saving a checkpoint after this step; again to stop at once.")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return undo


def reals_picture(path: Path, reals: Iterable[Tensor]) -> None:
    """A grid of whole real images, each (1, 1, *space) in [-1, 1], taken one at a time."""
    flat = []
    for one in reals:
        flat.append(pictures.flat((one[0, 0].cpu().numpy() + np.float32(1)) / np.float32(2)))
        ndim = one.ndim - 2
    save_png(grid(flat, columns=pictures.COLUMNS[ndim]), path)
