"""An estimate of the remaining time of a training, stage by stage of its timetable.

A mean over past steps would be wrong, because the levels differ in size. The cost of a future stage is not proportional
to its voxels either: in `pggan-mammogram`, an image of 1280 x 1024 has a thousand times the voxels of an image of
40 x 32 but seven times its operations, because it has fewer channels, and a step at a small level takes a minimum time
whatever it computes. The time of a step is therefore modelled as a * kernel calls + b * operations. Both are counted
once for every stage; a and b are fitted to the stages that have been measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls

from ganatomy.machine import progress
from ganatomy.recipes.recipe import Recipe
from ganatomy.training.operations import StepCost, count_operations

PATIENCE_SECONDS = 2.0  # seconds of training before operations are counted, which takes half a second per stage
PRIOR_WEIGHT = 0.3  # weight of the measured speed of a matrix product relative to one measured stage
EFFICIENCY = 0.3  # share of that speed that a training reaches; 0.1 to 0.6 for convolutions of medical images
PRODUCT_SIZE, PRODUCT_SECONDS = 512, 0.03  # rows of the square matrices, and seconds for which they are multiplied


@dataclass
class _Part:
    """A part of the timetable: the images from `start` to `end`, with their batch size and stage."""

    start: int
    end: int
    stage: str
    batch_size: int


@dataclass
class _Measurement:
    """The measurements of a stage after its first step, which takes longer because of preparations."""

    batch_size: int
    images: int = 0
    seconds: float = 0.0

    @property
    def seconds_per_image(self) -> float:
        return self.seconds / self.images


class TimeLeft:
    """Measures each stage of a timetable and adds up the remaining time of all stages.

    Args:
        recipe: the recipe that is trained.
        device: the device, whose speed is measured for future stages.
        count: counts the cost of a step by stage.
        measure: measures the operations per second of the device.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        count: Callable[[Recipe], dict[str, StepCost]] = count_operations,
        measure: Callable[[torch.device], float] | None = None,
    ) -> None:
        table = recipe.make_timetable()
        starts = [round(kimg * 1000) for kimg, _ in table]
        ends = [*starts[1:], recipe.total_images]
        self._parts = [
            _Part(start, end, step.stage, step.batch_size)
            for start, end, (_, step) in zip(starts, ends, table, strict=True)
        ]
        self._recipe, self._device, self._count, self._measure = recipe, device, count, measure or measure_speed
        self._measured: dict[str, _Measurement] = {}
        self._costs: dict[str, StepCost] = {}
        self._usual = 0.0  # seconds per operation at the speed of the device
        self._spent, self._stage = 0.0, ""

    def record(self, images: int, count: int, seconds: float) -> None:
        """Record the time of a step.

        Args:
            images: images seen before the step.
            count: images seen in the step.
            seconds: duration of the step.
        """
        if not count:
            return
        part = self._find_part(images)
        self._spent += seconds
        if part.stage != self._stage:
            self._stage = part.stage
            return
        measured = self._measured.setdefault(part.stage, _Measurement(part.batch_size))
        measured.images += count
        measured.seconds += seconds

    def estimate(self, images: int) -> float | None:
        """Estimate the remaining seconds after `images` images; None while too little has been measured."""
        left = [(part, part.end - max(part.start, images)) for part in self._parts if part.end > images]
        if not self._measured:
            return None
        costs = {stage: one.seconds_per_image for stage, one in self._measured.items()}
        if unknown := [part for part, _ in left if part.stage not in costs]:
            if self._spent < PATIENCE_SECONDS:
                return None
            costs |= self._reckon(unknown, self._find_part(min(images, self._recipe.total_images - 1)))
        return sum(count * costs[part.stage] for part, count in left)

    def _find_part(self, images: int) -> _Part:
        return next((part for part in self._parts if part.start <= images < part.end), self._parts[-1])

    def _reckon(self, parts: list[_Part], now: _Part) -> dict[str, float]:
        """Estimate the seconds per image of stages that were not reached; the current stage keeps its measured time."""
        if not self._costs:
            with progress.heartbeat("counting the operations of future stages"):
                self._costs = self._count(self._recipe)
            self._usual = 1 / (EFFICIENCY * self._measure(self._device))
        rows = []
        for stage, one in self._measured.items():
            seconds = one.seconds_per_image * one.batch_size
            cost = self._costs[stage]
            rows.append([cost.calls / seconds, self._usual * cost.operations / seconds])
        prior = [0.0, PRIOR_WEIGHT]
        (call, slowness), _ = nnls(np.array([*rows, prior]), np.array([1.0] * len(rows) + [PRIOR_WEIGHT]))

        def reckon(part: _Part) -> float:
            cost = self._costs[part.stage]
            return float(call * cost.calls + slowness * self._usual * cost.operations) / part.batch_size

        right = 1.0
        if (here := self._measured.get(now.stage)) is not None and (told := reckon(now)) > 0:
            right = here.seconds_per_image / told
        return {part.stage: right * reckon(part) for part in parts}


def measure_speed(device: torch.device) -> float:
    """Measure the operations per second of a float32 matrix product; multiplications and additions are counted."""
    matrix = torch.ones(PRODUCT_SIZE, PRODUCT_SIZE, device=device)
    done, start = 0, 0.0
    while done < 2 or time.perf_counter() - start < PRODUCT_SECONDS:
        if done == 1:
            start = time.perf_counter()  # not started before the first product, which includes preparations
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        done += 1
    return 2 * PRODUCT_SIZE**3 * (done - 1) / (time.perf_counter() - start)
