"""Store to batches of one level, in an order fixed by the seed and the number of the image."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganatomy import randomness
from ganatomy.data import conditions as facts
from ganatomy.data.store import Store, decode
from ganatomy.errors import Refused
from ganatomy.pyramid import Shape, written
from ganatomy.steps.scope import Images, Region

KEPT = 2**30  # bytes of small levels that stay in memory, so that a step at 10 x 8 need not open a hundred chunks


class Feed:
    """Batches of a split of a store.

    Args:
        store: complete.
        split: ``train``, ``validation`` or ``test``.
        conditions: facts to a condition vector, as in the recipe.
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
        conditions: Mapping[str, Sequence[str]],
        seed: int,
        device: torch.device,
        layout: torch.memory_format = torch.contiguous_format,
        whole_batches_of: int | None = None,
    ) -> None:
        store.check_files()
        cases = store.split(split)
        if not cases:
            raise Refused(f"The store {store.path} has no {split} case; it has {store.manifest.splits}.")
        self._store, self._seed, self._device, self.layout = store, seed, device, layout
        self._rows = [case["row"] for case in cases]
        self._vectors = torch.from_numpy(np.stack([facts.vector(conditions, case["facts"]) for case in cases]))
        self._kept: dict[Shape, NDArray[np.uint16] | None] = {}
        if whole_batches_of is not None and len(cases) < whole_batches_of:
            raise Refused(
                f"{len(cases)} {split} cases do not fill a batch of {whole_batches_of}; give a smaller batch."
            )
        self._fixed = None if whole_batches_of is None else len(cases) - len(cases) % whole_batches_of

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[Images, Tensor]:
        """The regions of images number n of the run, each (batch, 1, *space) in [-1, 1], and (batch, conditions).

        Image number n is the same whatever the batch size: epoch n // cases visits the cases in an order of its own. A
        region has the size of the smallest stored level that holds it.
        """
        return self.tensors(self.read(numbers, regions))

    def read(self, numbers: range, regions: tuple[Region, ...]) -> tuple[list[int], list[NDArray[np.float32]]]:
        """The first half of `batch`: from the disk, decoded; touches no tensor, so another thread may do it."""
        places = [self._place(n) for n in numbers]
        return places, [self._region(places, region) for region in regions]

    def tensors(self, found: tuple[list[int], list[NDArray[np.float32]]]) -> tuple[Images, Tensor]:
        """The second half: to the device."""
        places, pixels = found
        images = tuple(torch.from_numpy(each).to(self._device, memory_format=self.layout) for each in pixels)
        return images, self._vectors[places].to(self._device)

    def _place(self, number: int) -> int:
        if self._fixed is not None:
            return number % self._fixed
        n = len(self._rows)
        return int(randomness.permutation(self._seed, "order", number // n, n)[number % n])

    def _region(self, places: list[int], region: Region) -> NDArray[np.float32]:
        level = self._store.level_for(region.shape)
        times = level[0] // region.shape[0]
        planes = slice(None)
        if region.depth is not None:
            planes = slice(times * region.start, times * (region.start + region.depth))
        return decode(self._read(places, level, planes))[:, None]

    def _whole(self, level: Shape) -> NDArray[np.uint16]:
        """All cases at a level, shard by shard (an index over all axes would take many times as much memory)."""
        array, rows = self._store.array(level), np.asarray(self._rows)
        kept = np.empty((len(rows), *level), dtype=np.uint16)
        step = (array.shards or array.chunks)[0]
        for start in range(0, array.shape[0], step):
            inside = (rows >= start) & (rows < start + step)
            if inside.any():
                kept[inside] = np.asarray(array[start : start + step])[rows[inside] - start]
        return kept

    def _read(self, places: list[int], level: Shape, planes: slice) -> NDArray[np.uint16]:
        if level not in self._kept:
            held = sum(kept.nbytes for kept in self._kept.values() if kept is not None)
            fits = held + 2 * len(self._rows) * int(np.prod(level)) <= KEPT
            with self._store.named_damage(level):
                self._kept[level] = self._whole(level) if fits else None
        kept = self._kept[level]
        if kept is not None:
            return kept[places, planes]
        return self._store.read([self._rows[place] for place in places], level, planes)


def check_fit(store: Store, shape: Shape, channels: int, conditions: Mapping[str, Sequence[str]]) -> None:
    """Whether images of the store can train a model of this shape, channels and conditions.

    Raises:
        Refused: they cannot; the message says what the store has.
    """
    check_known(store, shape, channels, conditions)
    for name, values in conditions.items():
        if absent := sorted(set(values) - set(store.manifest.facts[name])):
            raise Refused(
                f"The recipe is conditioned on {name} {', '.join(values)} and the store has no case of"
                f" {', '.join(absent)}; add such cases or change the recipe: --set 'conditions.{name}=[...]'."
            )


def check_known(store: Store, shape: Shape, channels: int, conditions: Mapping[str, Sequence[str]]) -> None:
    """Whether a model of this shape, channels and conditions knows what the images of the store are.

    Raises:
        Refused: it does not; the message says what the store has.
    """
    manifest = store.manifest
    if tuple(shape) not in manifest.levels:
        levels = ", ".join(written(level) for level in manifest.levels[1:])
        raise Refused(f"The recipe makes {written(shape)} images and the store has {levels}; choose one with --shape.")
    if channels != 1:
        raise Refused(f"The recipe makes images of {channels} channels and the store has 1; set channels=1.")
    for name, values in conditions.items():
        present = manifest.facts.get(name)
        if present is None:
            raise Refused(f"The recipe is conditioned on {name!r} and the store has {', '.join(manifest.facts)}.")
        if unknown := sorted(set(present) - set(values)):
            raise Refused(f"The store has {name} {', '.join(unknown)} and the recipe knows {', '.join(values)}.")
