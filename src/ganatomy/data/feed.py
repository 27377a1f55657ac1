"""Batches of a store, in an order that is determined by the seed and the number of the image."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganatomy import randomness
from ganatomy.channels import Channels, count_arrays, describe_channels
from ganatomy.data.cases import Cases
from ganatomy.data.level_cache import LevelCache
from ganatomy.data.store import QUANTISATION_STEPS, Store, dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.machine.share import measure_own_memory
from ganatomy.pyramid import Shape, format_shape
from ganatomy.steps.condition import Condition, ConditionSpace
from ganatomy.steps.scope import ImageParts, Region

# Share of the machine's free memory for images that are kept; on a CPU, the networks need the rest.
CACHE_SHARES = {"cpu": 1 / 8, "cuda": 1 / 2}


@dataclass(frozen=True)
class RawBatch:
    """Memory of a batch, which is filled by reading its images.

    Args:
        indices: indices of the cases within the split.
        regions: regions that are read of each image.
        values: for each region (batch, arrays, *space); uint16 in page-locked memory if the batch goes to a GPU, else
            float32.
    """

    indices: list[int]
    regions: tuple[Region, ...]
    values: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.indices)


class Feed:
    """Batches of a split of a store.

    Images are copied to a GPU in the 16 bits of the store and decoded there; on a CPU, the reading thread decodes them.
    A batch is made in three steps, so that several threads can read its images while the device computes
    (`training.prefetch`): `allocate_batch`, `read_image` for each image, `to_tensors`. `read_batch` does all three.

    Args:
        store: a complete store.
        split: ``train``, ``validation`` or ``test``.
        conditions: the conditions of the model.
        seed: seed of the order.
        device: device of the batches.
        layout: memory format of the batches.
        whole_batch_size: None = the cases are shuffled anew in every epoch; a number = they come in the stored order in
            every epoch, and those that do not fill a last batch of this size are never used.
        cache_bytes: bytes of images that may stay in memory; None = the share `CACHE_SHARES` of the machine's free
            memory, divided by the number of processes of this training on the machine.

    Raises:
        Refused: the split is empty, a case lacks a condition, or files of the store are missing.
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
        cache_bytes: int | None = None,
    ) -> None:
        store.check_files()
        cases = store.split(split)
        if not cases:
            raise Refused(f"The store {store.path} has no {split} case; it has {store.manifest.splits}.")
        self._store, self._seed, self._device, self.layout = store, seed, device, layout
        kinds, different = cases.group_facts()
        encoded = conditions.encode(different)[torch.from_numpy(kinds)]
        self._conditions = replace(encoded, present=_find_present_arrays(store, cases))
        if cache_bytes is None:
            cache_bytes = int(CACHE_SHARES[device.type] * measure_own_memory())
        self._cases = LevelCache(store, cases.rows, cache_bytes)
        if whole_batch_size is not None and len(cases) < whole_batch_size:
            raise Refused(
                f"{len(cases)} {split} cases do not fill a batch of {whole_batch_size}; give a smaller batch."
            )
        self._fixed = None if whole_batch_size is None else len(cases) - len(cases) % whole_batch_size

    def __len__(self) -> int:
        return len(self._conditions)

    def read_batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[ImageParts, Condition]:
        """Read the regions of cases by number, each (batch, arrays, *space) in [-1, 1], and their condition.

        The case of image n does not depend on the batch size: epoch n // cases visits the cases in an order of its own.
        A region has the size of the smallest stored level that contains it.
        """
        batch = self.allocate_batch(numbers, regions)
        for place in range(len(batch)):
            self.read_image(batch, place)
        return self.to_tensors(batch)

    def allocate_batch(self, numbers: range, regions: tuple[Region, ...]) -> RawBatch:
        """Allocate memory for the images with these numbers, which have still to be read."""
        card = self._device.type == "cuda"
        options: dict[str, Any] = {"dtype": torch.uint16 if card else torch.float32, "pin_memory": card}
        sizes = [(planes.stop - planes.start, *level[1:]) for level, planes in map(self._place_region, regions)]
        arrays = count_arrays(self._store.manifest.channels)
        values = (torch.empty(len(numbers), arrays, *size, **options) for size in sizes)
        return RawBatch([self._find_case(n) for n in numbers], regions, tuple(values))

    def read_image(self, batch: RawBatch, place: int) -> None:
        """Read one image of a batch from memory or disk; it calls no torch, so other threads may call it."""
        for region, values in zip(batch.regions, batch.values, strict=True):
            image = values.numpy()[place] if self._store.manifest.array_axes else values.numpy()[place, 0]
            stored = image if image.dtype == np.uint16 else np.empty(image.shape, dtype=np.uint16)
            self._cases.read_into(stored, batch.indices[place], *self._place_region(region))
            if stored is not image:
                image[...] = dequantise_pixels(stored)

    def to_tensors(self, batch: RawBatch) -> tuple[ImageParts, Condition]:
        """Copy a batch that has been read to the device; the copy does not wait for the work queued on a GPU."""
        images = tuple(
            decode_values(values, self._device, self.layout)
            if values.dtype == torch.uint16
            else values.to(self._device, memory_format=self.layout)
            for values in batch.values
        )
        return images, self._conditions[batch.indices].to(self._device)

    def _find_case(self, number: int) -> int:
        if self._fixed is not None:
            return number % self._fixed
        n = len(self)
        return int(randomness.draw_permutation(self._seed, "order", number // n, n)[number % n])

    def _place_region(self, region: Region) -> tuple[Shape, slice]:
        """Find the stored level from which a region is read, and its planes."""
        level = self._store.find_level(region.shape)
        if region.depth is None:
            return level, slice(0, level[0])
        times = level[0] // region.shape[0]
        return level, slice(times * region.start, times * (region.start + region.depth))


def _find_present_arrays(store: Store, cases: Cases) -> Tensor | None:
    """Find the arrays that cases have: (cases, arrays); None if no case of the store lacks a channel.

    Raises:
        Refused: a case lacks all channels.
    """
    absent = cases.find_absent()
    if absent is None:
        return None
    if absent.all(1).any():
        raise Refused(f"{int(absent.all(1).sum())} cases of the store {store.path} have no channel; leave them out.")
    widths = [len(channel.empty_values) for channel in store.manifest.channels]
    return torch.from_numpy(~absent.repeat(widths, axis=1))


def decode_values(values: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
    """Convert stored values (uint16) to [-1, 1] in float32 on a device, bit for bit as `store.dequantise_pixels`.

    Page-locked values are copied to a GPU asynchronously, in the order of the work queued on it. PyTorch reuses the
    memory for another batch only after the copy.
    """
    moved = values.to(device, non_blocking=True)
    return moved.to(torch.float32, memory_format=layout).mul_(2 / QUANTISATION_STEPS).sub_(1)


def check_store_for_training(store: Store, shape: Shape, channels: Channels, conditions: ConditionSpace) -> None:
    """Check that images of the store can train a model of this shape, channels and conditions.

    Raises:
        Refused: they cannot; the message says what the store has.
    """
    check_store_for_model(store, shape, channels, conditions)
    conditions.check_store_shows(store.count_facts("train"))


def check_store_for_model(store: Store, shape: Shape, channels: Channels, conditions: ConditionSpace) -> None:
    """Check that a model of this shape, channels and conditions can process the images of the store.

    Raises:
        Refused: it cannot; the message says what the store has.
    """
    manifest = store.manifest
    if tuple(shape) not in manifest.levels:
        levels = ", ".join(format_shape(level) for level in manifest.levels[1:])
        raise Refused(
            f"The recipe makes {format_shape(shape)} images and the store has {levels}; choose one with --shape."
        )
    if channels != manifest.channels:
        raise Refused(
            f"The recipe makes {count_arrays(channels)} channels ({describe_channels(channels)}) and the store has"
            f" {count_arrays(manifest.channels)} ({describe_channels(manifest.channels)}); leave channels out of the"
            " changes, and they follow the store."
        )
    conditions.check_store_knows(manifest.facts)
