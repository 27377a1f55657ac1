"""Store to batches of one level, in an order fixed by the seed and the number of the image."""

import numpy as np
import torch
from numpy.typing import NDArray

from ganatomy import randomness
from ganatomy.data.store import Store, dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.pyramid import Shape, format_shape
from ganatomy.steps.condition import Condition, ConditionSpace
from ganatomy.steps.scope import ImageParts, Region

MAX_CACHED_BYTES = (
    2**30
)  # bytes of small levels that stay in memory, so that a step at 10 x 8 need not open a hundred chunks


class Feed:
    """Batches of a split of a store.

    Args:
        store: complete.
        split: ``train``, ``validation`` or ``test``.
        conditions: what the model is conditioned on.
        seed: decides the order.
        device: where batches go.
        layout: memory format of the batches.
        whole_batches_of: None = the cases are shuffled anew in every epoch; a number = they come in the stored order
            for ever, and those left over by whole batches of that size never.

    Raises:
        Refused: the split is empty, a case lacks a condition, or files of the store are gone.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        conditions: ConditionSpace,
        seed: int,
        device: torch.device,
        layout: torch.memory_format = torch.contiguous_format,
        whole_batch_size: int | None = None,
    ) -> None:
        store.check_files()
        cases = store.split(split)
        if not cases:
            raise Refused(f"The store {store.path} has no {split} case; it has {store.manifest.splits}.")
        self._store, self._seed, self._device, self.layout = store, seed, device, layout
        self._rows = [case["row"] for case in cases]
        self._conditions = conditions.encode([case["facts"] for case in cases])
        self._cached_levels: dict[Shape, NDArray[np.uint16] | None] = {}
        if whole_batch_size is not None and len(cases) < whole_batch_size:
            raise Refused(
                f"{len(cases)} {split} cases do not fill a batch of {whole_batch_size}; give a smaller batch."
            )
        self._fixed = None if whole_batch_size is None else len(cases) - len(cases) % whole_batch_size

    def __len__(self) -> int:
        return len(self._rows)

    def read_batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[ImageParts, Condition]:
        """The regions of images number n of the run, each (batch, 1, *space) in [-1, 1], and their condition.

        Image number n is the same whatever the batch size: epoch n // cases visits the cases in an order of its own. A
        region has the size of the smallest stored level that holds it.
        """
        return self.to_tensors(self.read(numbers, regions))

    def read(self, numbers: range, regions: tuple[Region, ...]) -> tuple[list[int], list[NDArray[np.float32]]]:
        """The first half of `batch`: from the disk, decoded; touches no tensor, so another thread may do it."""
        places = [self._case_index(n) for n in numbers]
        return places, [self._read_region(places, region) for region in regions]

    def to_tensors(self, decoded: tuple[list[int], list[NDArray[np.float32]]]) -> tuple[ImageParts, Condition]:
        """The second half: to the device."""
        places, pixels = decoded
        images = tuple(torch.from_numpy(each).to(self._device, memory_format=self.layout) for each in pixels)
        return images, self._conditions[places].to(self._device)

    def _case_index(self, number: int) -> int:
        if self._fixed is not None:
            return number % self._fixed
        n = len(self._rows)
        return int(randomness.draw_permutation(self._seed, "order", number // n, n)[number % n])

    def _read_region(self, indices: list[int], region: Region) -> NDArray[np.float32]:
        level = self._store.find_level(region.shape)
        times = level[0] // region.shape[0]
        planes = slice(None)
        if region.depth is not None:
            planes = slice(times * region.start, times * (region.start + region.depth))
        return dequantise_pixels(self._read_cases(indices, level, planes))[:, None]

    def _read_whole_level(self, level: Shape) -> NDArray[np.uint16]:
        """All cases at a level, shard by shard (an index over all axes would take many times as much memory)."""
        array, rows = self._store.array(level), np.asarray(self._rows)
        kept = np.empty((len(rows), *level), dtype=np.uint16)
        step = (array.shards or array.chunks)[0]
        for start in range(0, array.shape[0], step):
            inside = (rows >= start) & (rows < start + step)
            if inside.any():
                kept[inside] = np.asarray(array[start : start + step])[rows[inside] - start]
        return kept

    def _read_cases(self, indices: list[int], level: Shape, planes: slice) -> NDArray[np.uint16]:
        if level not in self._cached_levels:
            held = sum(kept.nbytes for kept in self._cached_levels.values() if kept is not None)
            fits = held + 2 * len(self._rows) * int(np.prod(level)) <= MAX_CACHED_BYTES
            with self._store.refuse_when_damaged(level):
                self._cached_levels[level] = self._read_whole_level(level) if fits else None
        kept = self._cached_levels[level]
        if kept is not None:
            return kept[indices, planes]
        return self._store.read([self._rows[place] for place in indices], level, planes)


def check_store_for_training(store: Store, shape: Shape, channels: int, conditions: ConditionSpace) -> None:
    """Whether images of the store can train a model of this shape, channels and conditions.

    Raises:
        Refused: they cannot; the message says what the store has.
    """
    check_store_for_model(store, shape, channels, conditions)
    conditions.check_store_shows(store.count_facts("train"))


def check_store_for_model(store: Store, shape: Shape, channels: int, conditions: ConditionSpace) -> None:
    """Whether a model of this shape, channels and conditions knows what the images of the store are.

    Raises:
        Refused: it does not; the message says what the store has.
    """
    manifest = store.manifest
    if tuple(shape) not in manifest.levels:
        levels = ", ".join(format_shape(level) for level in manifest.levels[1:])
        raise Refused(
            f"The recipe makes {format_shape(shape)} images and the store has {levels}; choose one with --shape."
        )
    if channels != 1:
        raise Refused(f"The recipe makes images of {channels} channels and the store has 1; set channels=1.")
    conditions.check_store_knows(manifest.facts)
