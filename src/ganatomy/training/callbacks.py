"""Periodic work before a training step: ticks of the log, grids, snapshots, checkpoints, and the check for a stop."""

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganatomy import checkpoint
from ganatomy.config import Config
from ganatomy.imaging import pictures
from ganatomy.imaging.caption import add_caption
from ganatomy.imaging.marking import mark_collected, mark_synthetic
from ganatomy.imaging.pictures import make_grid, save_png
from ganatomy.machine import progress
from ganatomy.machine.device import measure_used_memory
from ganatomy.objectives.phase import Losses
from ganatomy.pyramid import format_shape
from ganatomy.randomness import draw_normal
from ganatomy.steps.condition import Condition
from ganatomy.training import distributed
from ganatomy.training.log import Log
from ganatomy.training.run import Run
from ganatomy.training.state import State
from ganatomy.training.stop_request import StopRequest
from ganatomy.training.time_left import TimeLeft
from ganatomy.training.tracking.tracker import Tracker

GRID_IMAGES = 16  # images in a grid; consecutive runs of equal length have the same value of a condition


class Intervals(Config):
    """Intervals of the periodic work, in thousands of images. They are settings of the machine, not of the recipe."""

    tick_kimg: float = Field(4, gt=0)
    grid_kimg: float = Field(40, gt=0)
    snapshot_kimg: float = Field(100, gt=0)
    checkpoint_kimg: float = Field(100, gt=0)


class IntervalTimer:
    """Determines when periodic work is due, from the count of images seen, with the same answer in every process."""

    def __init__(self, images: int) -> None:
        self._last = images
        self._fresh = images == 0

    def has_advanced(self, images: int) -> bool:
        """Return whether a step was taken since `mark_done` was called, or whether the training is just beginning."""
        return self._fresh or images > self._last

    def is_due(self, images: int, kimg: float, ended: bool) -> bool:
        every = kimg * 1000
        return ended or self._fresh or images // every > self._last // every

    def mark_done(self, images: int) -> None:
        self._fresh, self._last = False, images


class Callback:
    """The callbacks of all processes except the first. They write nothing, and stop when any process stops."""

    stop_reason: str | None = None

    def __init__(self, intervals: Intervals, state: State) -> None:
        self._intervals, self._timer = intervals, IntervalTimer(state.images)

    def __call__(self, state: State) -> bool:
        ended = state.images >= state.recipe.total_images
        if self._timer.has_advanced(state.images) and self._timer.is_due(
            state.images, self._intervals.checkpoint_kimg, ended
        ):
            check_replicas(state)
        self._timer.mark_done(state.images)
        self.stop_reason = agree_on_stop(self.stop_reason, state)
        return self.stop_reason is None

    def record_losses(self, losses: Losses) -> None:
        """Do nothing: the first process records the losses of all processes."""

    def describe_progress(self, state: State) -> tuple[str, str]:
        return "", ""

    def close(self) -> None:
        """Do nothing: no file is open."""


def check_replicas(state: State) -> None:
    """Assert that all processes have the same weights; a difference means a bug or a fault of the machine."""
    differ = distributed.find_differing_replicas(state.get_snapshot_networks())
    assert not differ, f"the processes no longer have the same weights of {', '.join(differ)}"


def agree_on_stop(stop_reason: str | None, state: State) -> str | None:
    """Return the reason to stop if any process was told to stop, else None. All processes get a reason or none does."""
    device = next(state.ema.parameters()).device
    return (
        (stop_reason or "stopped with another process")
        if distributed.is_true_in_any_process(stop_reason is not None, device)
        else None
    )


class Callbacks:
    """The callbacks of the first process, called with the state before every step; False ends the run at this step.

    Args:
        run: the run folder to write to.
        intervals: intervals of each kind of work.
        metadata: contents of a snapshot's ``meta.json`` besides the recipe and the count of images.
        seed: seed of the run.
        condition: the condition of each image of the grid.
        state: the state at the start; the intervals begin at its count of images.
        trackers: receivers of what is logged, drawn and saved.
    """

    def __init__(
        self,
        run: Run,
        intervals: Intervals,
        metadata: dict[str, Any],
        seed: int,
        condition: Condition,
        state: State,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self._run, self._intervals, self._metadata, self._seed = run, intervals, metadata, seed
        self._condition = condition
        self._timer = IntervalTimer(state.images)
        settings = {"recipe": state.recipe.model_dump(mode="json"), "seed": seed}
        self._log = Log(run.path, state.images, trackers, settings)
        self._clock, self._clock_images = time.monotonic(), state.images
        device = next(state.ema.parameters()).device
        self._time_left, self._noted = TimeLeft(state.recipe, device), (self._clock, state.images)
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._seconds_left: float | None = None
        self._stop_request = StopRequest(run.path)
        self.stop_reason: str | None = None

    def __call__(self, state: State) -> bool:
        ended = state.images >= state.recipe.total_images
        if self._timer.has_advanced(state.images):
            self._run_periodic_work(state, ended)
        self._timer.mark_done(state.images)
        self.stop_reason = agree_on_stop(self.stop_reason or self._stop_request.take(), state)
        if self.stop_reason and not ended:
            self._save_checkpoint(state)
        return self.stop_reason is None

    def record_losses(self, losses: Losses) -> None:
        """Add the loss terms of a step to the running means. They remain on the device until the tick."""
        for name, term in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=term.device)) + term
        self._count += 1

    def describe_progress(self, state: State) -> tuple[str, str]:
        """Describe the progress for the bar: image size and speed, and the time that is left."""
        now = time.monotonic()
        self._time_left.record(self._noted[1], state.images - self._noted[1], now - self._noted[0])
        seconds = None if progress.quiet else self._time_left.estimate(state.images)
        self._noted, self._seconds_left = (time.monotonic(), state.images), seconds
        rate = (state.images - self._clock_images) / max(now - self._clock, 1e-9)
        shape = state.recipe.get_sampling_scope(min(state.images, state.recipe.total_images - 1)).regions[0].shape
        left = "" if seconds is None else progress.format_seconds(seconds)
        return f"{format_shape(shape)}, {rate:.3g} images/s", left

    def _run_periodic_work(self, state: State, ended: bool) -> None:
        def due(kimg: float) -> bool:
            return self._timer.is_due(state.images, kimg, ended)

        if due(self._intervals.tick_kimg) and self._count:
            self._log_tick(state)
        if due(self._intervals.grid_kimg):
            self._draw_grid(state)
        if due(self._intervals.snapshot_kimg) and state.images:
            self._save_snapshot(state)
        if due(self._intervals.checkpoint_kimg):
            check_replicas(state)
            if state.images:
                self._save_checkpoint(state)

    def _log_tick(self, state: State) -> None:
        values = {name: float(total) / self._count for name, total in self._sums.items()}
        step = state.recipe.plan_step(state.images, self._seed)
        seconds = max(time.monotonic() - self._clock, 1e-9)
        values |= {f"progress/{name}": value for name, value in step.scope.log_values.items()}
        values |= {
            "progress/batch_size": float(step.batch_size),
            "progress/learning_rate": next(iter(state.optimizers.values())).param_groups[0]["lr"],
            "progress/images_per_second": (state.images - self._clock_images) / seconds,
        }
        values["progress/memory_gb"] = measure_used_memory(next(state.ema.parameters()).device) / 1e9
        if self._seconds_left is not None:
            values["progress/seconds_left"] = self._seconds_left
        self._log.write_scalars(state.images, values)
        self._sums, self._count = {}, 0
        self._clock, self._clock_images = time.monotonic(), state.images

    def _draw_grid(self, state: State) -> None:
        device = next(state.ema.parameters()).device
        z = draw_normal(self._seed, "grid", range(GRID_IMAGES), state.recipe.latent).to(device)
        scope = state.recipe.get_sampling_scope(state.images)
        flat = []
        with torch.inference_mode():
            for i in range(GRID_IMAGES):  # one at a time: volumes are large
                (image, *_) = state.ema(z[i : i + 1], self._condition[i : i + 1].to(device), scope)
                flat.append(pictures.render_planes((image[0, 0].float().cpu().numpy() + 1) / 2))
        picture = make_grid(flat, columns=pictures.GRID_COLUMNS[len(scope.regions[0].shape)])
        record = {"generator": state.recipe.name, "kimg": state.images / 1000, "seed": self._seed}
        save_png(picture, self._run.path / "fakes" / f"{state.images:09d}.png", mark_synthetic(record))
        self._log.write_picture(state.images, "fakes", picture)

    def _save_snapshot(self, state: State) -> None:
        folder = self._run.path / "snapshots" / f"{state.images:09d}"
        if not folder.exists():
            about = {"images": state.images, "seed": self._seed, **self._metadata}
            checkpoint.save_snapshot(folder, state.get_snapshot_networks(), state.recipe, about)
            self._log.write_snapshot(state.images, folder)

    def _save_checkpoint(self, state: State) -> None:
        """Save the whole state, and keep the last two checkpoints."""
        folder = self._run.path / "checkpoints" / f"{state.images:09d}"
        if folder.exists():
            return
        checkpoint.save_tensors(folder, state.get_tensors(), {"counts": state.get_counts(), "seed": self._seed})
        self._run.remove_old_checkpoints()

    def close(self) -> None:
        self._log.close()


def install_stop_handlers(callbacks: Callbacks | Callback) -> Callable[[], None]:
    """Make SIGINT and SIGTERM end the run after the current step, with a checkpoint.

    A second signal ends the process at once. The function that is returned restores the previous handlers.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if callbacks.stop_reason:
            raise KeyboardInterrupt
        callbacks.stop_reason = signal.Signals(number).name
        progress.say(f"{callbacks.stop_reason}: saving a checkpoint after this step; repeat to stop at once.")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return undo


def save_reals_picture(path: Path, reals: Iterable[Tensor], shows_patients: bool) -> None:
    """Save a grid of whole real images as PNG; each is (1, 1, *space) in [-1, 1], and they are read one at a time."""
    flat = []
    for one in reals:
        flat.append(pictures.render_planes((one[0, 0].cpu().numpy() + np.float32(1)) / np.float32(2)))
        ndim = one.ndim - 2
    picture = add_caption(make_grid(flat, columns=pictures.GRID_COLUMNS[ndim]), shows_patients)
    save_png(picture, path, mark_collected("Training images.", shows_patients))
