"""Measurement of the speed and memory of one recipe in a separate process, on random images."""

import math
import platform
import resource
import time
from typing import Any

import torch

from ganatomy.benchmark.plan import BenchmarkPlan
from ganatomy.machine.device import select_device as named_device
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, Region
from ganatomy.training import loop
from ganatomy.training.computing import ComputeSettings, get_default_settings
from ganatomy.training.plan import count_parameters
from ganatomy.training.state import State
from ganatomy.training.upsampling import settle_upsampling

WARM_UP_STEPS, MIN_STEPS, MIN_SECONDS = 1, 3, 2.0  # untimed steps; least number of timed steps; seconds
ENOUGH_SECONDS = 15.0  # after this time a single timed step suffices
ENDLESS_KIMG = 1e9  # thousands of images; the measurement stops by its own count


class NoiseFeed:
    """Delivers batches of noise, since the cost of a step does not depend on the images."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device

    def read_batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[ImageParts, Condition]:
        """Uniform noise in [-1, 1] for each region, (images, channels, *region), and a blank condition."""
        sizes = [(r.depth or r.shape[0], *r.shape[1:]) for r in regions]
        images = tuple(
            torch.rand(len(numbers), self.recipe.space.channels, *size, device=self.device) * 2 - 1 for size in sizes
        )
        space = self.recipe.condition_space
        return images, space.encode([space.choose_facts({}, 0)] * len(numbers)).to(self.device)


def measure_recipe(plan: BenchmarkPlan, name: str) -> dict[str, Any]:
    """Measure steps and images per second by size, and the peak memory in MiB above that of the imported libraries."""
    recipe = plan.recipe(name)
    recipe = recipe.replace(total_kimg=max(recipe.total_kimg, ENDLESS_KIMG))
    device = named_device(plan.device)
    before = _resident()
    state = State(recipe, 0, device)
    computing, _ = settle_upsampling(recipe, state.networks, get_default_settings(len(recipe.shape), device), device)
    computing.apply_to(state.networks, len(recipe.shape))
    steps: dict[str, float] = {}
    images: dict[str, float] = {}
    begins = {moment.stage: kimg for kimg, moment in recipe.make_timetable()}
    for part, kimg in begins.items():  # of a level with a fade and a stable stage, measure the stable one
        state.images = math.ceil(kimg * 1000)
        with computing.flags(device):
            steps[part], images[part] = _rate(state, NoiseFeed(recipe, device), computing)
    last = list(steps)[-1]
    return {
        "iterations_per_second": steps[last],
        "images_per_second": images,
        "memory_mib": _peak(device, before),
        "parameters": count_parameters(recipe),
        "batch_size": recipe.plan_step(recipe.total_images - 1, 0).batch_size,
        "precision": computing.precision,
        "device": str(device),
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}",
    }


def _rate(state: State, feed: NoiseFeed, settings: ComputeSettings) -> tuple[float, float]:
    """Measure steps per second and images per second, beginning with the current state."""
    clock: list[tuple[float, int]] = []

    def watch(state: State) -> bool:
        if feed.device.type == "cuda":
            torch.cuda.synchronize(feed.device)
        clock.append((time.perf_counter(), state.images))
        done = len(clock) - 1 - WARM_UP_STEPS
        if done < 1:
            return True
        seconds = clock[-1][0] - clock[WARM_UP_STEPS][0]
        return seconds < MIN_SECONDS if done >= MIN_STEPS else seconds < ENOUGH_SECONDS

    for _ in loop.run_steps(state, feed, 0, watch, settings):
        pass
    seconds = clock[-1][0] - clock[WARM_UP_STEPS][0]
    return (len(clock) - 1 - WARM_UP_STEPS) / seconds, (clock[-1][1] - clock[WARM_UP_STEPS][1]) / seconds


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _peak(device: torch.device, resident_before: float) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _resident() - resident_before
