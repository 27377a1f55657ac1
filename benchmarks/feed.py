"""Reading batches from the store: by several threads as 16-bit values, against the former way; and against the step.

    python benchmarks/feed.py [--quick] [--device cpu]

For each recipe and shape, milliseconds a batch of four when nothing else is done:

    former    one thread reads a batch and decodes it to float32, the main thread hands it to the device
    now       `training.prefetch`: a thread for each core reads images; for a processor it decodes them, a GPU gets
              16-bit values from page-locked memory and decodes them itself
    sixteen_bits    `now` without decoding, which is what a machine with a GPU does but for the copy
    cpu       the time of all cores together in either, which says more than the first where others use the machine
    main      the time of the main thread in either, during which a training would wait

once with the images in memory and once from files in the system's cache; the two sides alternate. Rows with `step` have
the time of a training step of the recipe as well, and of a batch read in the main thread from files that were just
dropped from the system's cache (``posix_fadvise``), as of a store larger than memory. The next batches are read while
the step runs, so a feed that is faster than the step costs nothing. The last line is JSON; `ratio` is the smallest of
former over now from files of all rows.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from ganatomy.data.feed import Feed
from ganatomy.data.prepare import prepare
from ganatomy.machine import progress
from ganatomy.machine.device import select_device
from ganatomy.machine.share import count_own_cores
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import loop
from ganatomy.training.computing import get_default_settings
from ganatomy.training.prefetch import PREFETCH_DEPTH, Prefetcher
from ganatomy.training.state import State

BATCH, ROUNDS, CPU = 4, 5, torch.device("cpu")
ROWS = [  # recipe, shape, whether a step is measured as well
    ("hagan", (256, 256, 256), False),
    ("hagan-2022", (256, 256, 256), False),
    ("pggan-mammogram", (1280, 1024), False),
    ("hagan", (128, 128, 128), True),
    ("gan-mammogram", (40, 32), True),
    ("gan-mammogram", (160, 128), True),
    ("latent-diffusion", (64, 64, 64), True),
    ("autoregressive", (64, 64, 64), True),
]


class FormerPrefetcher:
    """One thread reads whole batches and decodes them; float32 in pageable memory goes to the device."""

    def __init__(self, feed, requests, device):
        self.feed, self.device, self.requests = feed, device, requests
        self.executor, self.coming = ThreadPoolExecutor(1), deque()

    def _read(self, request):
        """As `Feed` for a processor does, with memory that is not page-locked."""
        batch = self.feed.allocate_batch(*request)
        for place in range(len(batch)):
            self.feed.read_image(batch, place)
        return [values.numpy() for values in batch.values]

    def read_batch(self, numbers, regions):
        while len(self.coming) < PREFETCH_DEPTH and (request := next(self.requests, None)) is not None:
            self.coming.append(self.executor.submit(self._read, request))
        decoded = self.coming.popleft().result()
        start = time.perf_counter()
        images = [torch.from_numpy(each).to(self.device, memory_format=self.feed.layout) for each in decoded]
        self.main = time.perf_counter() - start
        return images

    def close(self):
        self.executor.shutdown(cancel_futures=True)


class TimedFeed:
    """The feed; how long the main thread needs for a batch."""

    def __init__(self, feed):
        self.feed, self.allocate_batch, self.read_image = feed, feed.allocate_batch, feed.read_image

    def to_tensors(self, batch):
        start = time.perf_counter()
        images = self.feed.to_tensors(batch)
        self.main = time.perf_counter() - start
        return images


class SixteenBits(TimedFeed):
    """What the readers do for a GPU, on a machine without one: 16-bit values are read, and nothing is decoded."""

    def __init__(self, feed):
        super().__init__(feed)
        self.allocate_batch = self._allocate

    def _allocate(self, numbers, regions):
        batch = self.feed.allocate_batch(numbers, regions)
        return replace(batch, values=tuple(torch.empty_like(v, dtype=torch.uint16) for v in batch.values))

    def to_tensors(self, batch):
        self.main = 0.0
        return batch.values


def drain(source, timed, requests, device):
    """Seconds a batch, of all cores together and of the main thread; the first batches warm up and do not count."""
    mains, start, worked = [], 0.0, 0.0
    for number, request in enumerate(requests):
        if number == PREFETCH_DEPTH:
            start, worked = time.perf_counter(), time.process_time()
        source.read_batch(*request)
        mains.append(timed.main)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    total, worked = time.perf_counter() - start, time.process_time() - worked
    source.close()
    count = len(requests) - PREFETCH_DEPTH
    return total / count, worked / count, statistics.median(mains)


def drop_files(folder):
    """Files leave the system's cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def make_recipe(name, shape):
    recipe = get_recipe(name).resize(shape)
    if "batch_sizes" in type(recipe.strategy).model_fields:
        recipe = change_recipe(recipe, {"strategy.first_level": 99, "strategy.batch_sizes": [BATCH]})
    return recipe


def compare(recipe, feed, plain, device, batches):
    """Former and now, alternating: milliseconds a batch, and the median of the rounds' ratios.

    Args:
        plain: a feed for the processor, which decodes where it reads.
    """
    rounds = []
    for _ in range(ROUNDS):
        requests = [request for request, _ in zip(loop.list_requests(recipe, 0, 0), range(batches), strict=False)]
        former = FormerPrefetcher(plain, iter(requests), device)
        before = drain(former, former, requests, device)
        timed = TimedFeed(feed)
        after = drain(Prefetcher(timed, iter(requests)), timed, requests, device)
        raw = SixteenBits(plain)
        bare = drain(Prefetcher(raw, iter(requests)), raw, requests, CPU)
        rounds.append((*before, *after, *bare[:2]))
    names = ("former_ms", "former_cpu_ms", "former_main_ms", "now_ms", "now_cpu_ms", "now_main_ms")
    names += ("sixteen_bits_ms", "sixteen_bits_cpu_ms")
    medians = [1e3 * statistics.median(column) for column in zip(*rounds, strict=True)]
    found = dict(zip(names, medians, strict=True))
    return found | {"ratio": statistics.median(one[0] / one[3] for one in rounds)}


def measure_step(recipe, feed, settings, device, quick):
    """Milliseconds of a training step, and of a batch read here from dropped files."""
    asked = iter(loop.list_requests(recipe, 0, 0))
    cold = []
    for _ in range(6 if quick else 20):
        drop_files(feed._store.path / "arrays")
        start = time.perf_counter()
        feed.read_batch(*next(asked))
        cold.append(time.perf_counter() - start)
    state = State(recipe, 0, device, layout=feed.layout)
    settings.apply_to(state.networks, len(recipe.shape))
    steps, times = loop.run_steps(state, feed, 0, lambda state: True, settings), []
    for _ in range(3 if quick else 5):
        start = time.perf_counter()
        next(steps)
        times.append(time.perf_counter() - start)
    step, dropped = 1e3 * statistics.median(times[1:]), 1e3 * statistics.median(cold[1:])
    return {"step_ms": step, "dropped_ms": dropped, "step_over_dropped": step / dropped}


def measure(name, shape, with_step, store, device, quick):
    recipe, settings = make_recipe(name, shape), get_default_settings(len(shape), device)

    def make_feed(cache_bytes, place=device):
        layout = settings.get_layout(len(shape))
        return Feed(store, "train", recipe.condition_space, 0, place, layout, cache_bytes=cache_bytes)

    request = next(iter(loop.list_requests(recipe, 0, 0)))
    sent = sum(values.nbytes for values in make_feed(0).allocate_batch(*request).values)
    found = {"recipe": name, "shape": "x".join(map(str, shape)), "batch": BATCH, "sent_mib": sent / 2**20}
    batches = PREFETCH_DEPTH + (4 if quick else 12)
    for where, size in (("memory", 2**34), ("files", 0)):
        found |= {
            f"{where}_{key}": value
            for key, value in compare(recipe, make_feed(size), make_feed(size, CPU), device, batches).items()
        }
    if with_step:
        found |= measure_step(recipe, make_feed(0), settings, device, quick)
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one row each of images and volumes, fewer batches")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    progress.quiet = True
    torch.set_num_threads(options.threads)
    device, rows, stores = select_device(options.device), [], {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, shape, with_step in [ROWS[3], ROWS[4]] if options.quick else ROWS:
            size = (256, 256, 256) if shape == (256, 256, 256) else (128, 128, 128)
            key = size if len(shape) == 3 else "mammograms"
            if key not in stores:
                raw, out = folder / f"raw{len(stores)}", folder / f"store{len(stores)}"
                if key == "mammograms":
                    write_cohort("mammogram", raw, 12, workers=1)
                    stores[key] = prepare(raw, "mammogram", out, workers=1)
                else:
                    write_cohort("chest_ct", raw, 8, shape=size, workers=1)
                    stores[key] = prepare(raw, ChestCT(shape=size), out, workers=1)
            rows.append(measure(name, shape, with_step, stores[key], device, options.quick))
            print(json.dumps(rows[-1]), flush=True)
    print(
        json.dumps(
            {
                "name": "feed",
                "ratio": min(row["files_ratio"] for row in rows),
                "opponent": "one thread that decodes to float32",
                "device": f"{device}, {options.threads} threads, {platform.machine()}, torch {torch.__version__}",
                "readers": count_own_cores(),
                "rounds": ROUNDS,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
