"""What `card.py` measures, a function for each kind of row; each runs in a process of its own and gives numbers.

step        steps of a recipe on images of noise: seconds, first losses, memory on the card and planned
feed        the same with images from a store, read and decoded as in a training
resume      two trainings with --deterministic, one of them in two halves: whether the weights are the same bits
processes   a training by one process or several: images a second
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from ganatomy.benchmark.measure import NoiseFeed
from ganatomy.data.feed import Feed
from ganatomy.data.store import open_store
from ganatomy.machine import progress
from ganatomy.machine.device import select_device
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import loop
from ganatomy.training.computing import ComputeSettings, get_default_settings
from ganatomy.training.memory_estimate import find_heaviest_stage
from ganatomy.training.plan import change_batch_size
from ganatomy.training.prefetch import Prefetcher
from ganatomy.training.state import State
from ganatomy.training.train import train
from ganatomy.training.upsampling import settle_upsampling

STEPS, WARM_UP, SECONDS = 14, 3, 25  # most steps of a row, those that do not count, and when it is enough
MIB = 2**20
MARKS = ("feed",)  # of a way that are no settings


def build_recipe(name, shape, batch, tiny):
    """The recipe at a size and batch, at its last level from the start; for ever."""
    recipe = get_recipe(name)
    if tiny:
        recipe = recipe.make_tiny()
    else:
        recipe = change_batch_size(recipe.resize(tuple(int(n) for n in shape.split(","))), batch)
    if "first_level" in type(recipe.strategy).model_fields:
        recipe = change_recipe(recipe, {"strategy.first_level": 99})
    return recipe.replace(total_kimg=1e9)


class _Moved:
    """Images of noise, the same on every device."""

    def __init__(self, recipe, device, layout):
        self.source, self.device, self.layout = NoiseFeed(recipe, torch.device("cpu")), device, layout

    def read_batch(self, numbers, regions):
        images, condition = self.source.read_batch(numbers, regions)
        return tuple(x.to(self.device, memory_format=self.layout) for x in images), condition.to(self.device)

    def close(self):
        pass


def measure_steps(row, device, store):
    """Seconds a step, first losses, memory."""
    place = select_device(device)
    recipe = build_recipe(row["recipe"], row["shape"], row["batch"], row["tiny"])
    ndim = len(recipe.shape)
    settings = ComputeSettings(**{key: value for key, value in row["way"].items() if key not in MARKS})
    settings.check(ndim, place)
    with settings.flags(place):
        layout = settings.get_layout(ndim)
        state = State(recipe, 0, place, layout=layout, scale_losses=settings.precision == "float16")
        settings, told = settle_upsampling(recipe, state.networks, settings, place)
        settings.apply_to(state.networks, ndim)
        torch.manual_seed(0)
        source = _Moved(recipe, place, layout)
        if row["way"].get("feed"):
            feed = Feed(open_store(Path(store)), "train", recipe.condition_space, 0, place, layout)
            source = Prefetcher(feed, loop.list_requests(recipe, 0, 0, settings))
        losses, times = _run(state, source, settings, place)
    step = statistics.median(times[WARM_UP:] or times[-1:])
    found = {"step_s": step, "images_per_s": recipe.plan_step(0, 0).batch_size / step, "first_s": times[0]}
    found |= {"losses": losses[0], "upsampling": dict(settings.upsampling_by_layer), "told": told}
    found["planned_mib"] = find_heaviest_stage(recipe, settings.replace(hold_memory=False), place)[1].total / MIB
    if place.type == "cuda":
        free, total = torch.cuda.mem_get_info(place)
        found |= {
            "allocated_mib": torch.cuda.max_memory_allocated(place) / MIB,
            "reserved_mib": torch.cuda.max_memory_reserved(place) / MIB,
            "on_card_mib": (total - free) / MIB,
            "card": torch.cuda.get_device_name(place),
        }
    return found


def _run(state, source, settings, place):
    losses, times, start = [], [], time.perf_counter()
    for terms in loop.run_steps(state, source, 0, lambda s: s.steps < STEPS, settings):
        losses.append({key: float(value) for key, value in terms.items()})  # waits for the card
        times.append(time.perf_counter() - start)
        if sum(times) > SECONDS and len(times) > WARM_UP:
            break
        start = time.perf_counter()
    source.close()
    assert all(math.isfinite(value) for terms in losses for value in terms.values()), "a loss is not finite"
    return losses, times


def compare_resumed(row, device, store):
    """Whether a training that was stopped and went on has the bits of one that was not."""
    recipe = get_recipe(row["recipe"]).make_tiny()
    opened = open_store(Path(store))
    images = 4 * recipe.plan_step(0, 0).batch_size
    default = get_default_settings(len(recipe.shape), select_device(device))
    settings = default.replace(**row["way"], deterministic=True)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for name, stops in (("whole", (images,)), ("halves", (images // 2, images))):
            for stop in stops:
                done = train(
                    recipe.replace(total_kimg=stop / 1000),
                    opened,
                    Path(folder) / name,
                    device=device,
                    computing=settings,
                    anyway=True,
                )
            runs.append({f.name: f.read_bytes() for f in done.list_checkpoints()[-1].glob("*.safetensors")})
    return {"same_bits": runs[0] == runs[1]}


def time_processes(row, device, store):
    """Images a second of a training by so many processes, from its log: the last of three ticks."""
    recipe = build_recipe(row["recipe"], row["shape"], row["batch"], row["tiny"])
    tick = (STEPS if not row["tiny"] else 4) * recipe.plan_step(0, 0).batch_size / 1000
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", row["recipe"], store, "--out", folder, "--device", device, "--anyway", "--quiet"]
        words += ["--tiny"] * row["tiny"] + ["--processes", str(row["way"]["processes"])]
        words += ["--shape", ",".join(map(str, recipe.shape)), "--tick-kimg", str(tick)]
        changes = {"total_kimg": 3 * tick, **{f"strategy.{k}": v for k, v in _express_batch(recipe, row).items()}}
        for name, value in changes.items():
            words += ["--set", f"{name}={value}"]
        done = subprocess.run([sys.executable, "-m", "ganatomy", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
        log = next(Path(folder).glob("*/log.jsonl")).read_text().splitlines()
    return {"images_per_s": json.loads(log[-1])["progress/images_per_second"]}


def _express_batch(recipe, row):
    return {} if row["tiny"] else recipe.strategy.express_batch_size(row["batch"])


KINDS = {"step": measure_steps, "feed": measure_steps, "resume": compare_resumed, "processes": time_processes}


def measure_row(row, device, stores):
    """The numbers of one row."""
    progress.quiet = True
    return KINDS[row["kind"]](row, device, stores.get(str(row["stored"])))
