"""Real images of a split, and fakes that match them: the two sides of every comparison."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.checkpoint import Snapshot
from ganatomy.data.store import Store, decode
from ganatomy.modalities import table as modalities
from ganatomy.pyramid import Shape
from ganatomy.refused import Refused


@dataclass(frozen=True)
class Reals:
    """Cases of one split at one level, read when they are needed.

    Args:
        cases: rows of the store.
        shape: a stored level.
    """

    store: Store
    cases: list[dict[str, Any]]
    shape: Shape

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """Image i in [-1, 1], canonically oriented."""
        return decode(self.store.read([self.cases[i]["row"]], self.shape)[0])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """The images one at a time."""
        return (self[i] for i in range(len(self)))

    def spacing(self) -> tuple[float, ...] | None:
        """Millimetres of these images, the median of the store; coarser levels have larger voxels."""
        full = self.store.manifest
        if full.spacing is None:
            return None
        return tuple(s * n / m for s, n, m in zip(full.spacing, full.shape, self.shape, strict=True))

    def facts(self) -> list[dict[str, str]]:
        return [case["facts"] for case in self.cases]


def reals(store: Store, split: str, shape: Shape, n: int | None = None, seed: int = 0) -> Reals:
    """`n` cases of a split drawn without replacement; all of them when `n` is None or not less than there are.

    Raises:
        Refused: the store has no such level or no such case.
    """
    if tuple(shape) not in store.manifest.levels:
        raise Refused(f"The store {store.path} has no level {shape}; it has {store.manifest.levels}.")
    cases = store.split(split)
    if not cases:
        raise Refused(
            f"The store {store.path} has no {split} patient (splits: {store.manifest.splits}); three patients are"
            " needed at least, so that training, selection and report see different ones."
        )
    if n is not None and n < len(cases):
        chosen = np.random.default_rng(seed).choice(len(cases), n, replace=False)
        cases = [cases[i] for i in sorted(chosen)]
    return Reals(store, cases, tuple(shape))


def matching(store: Store, split: str, like: Reals, seed: int = 0) -> Reals:
    """As many cases of another split, with the same facts one by one.

    Raises:
        Refused: the split has too few.
    """
    pool = reals(store, split, like.shape).cases
    order = [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))]
    picked = []
    for facts in like.facts():
        fits = next((i for i, case in enumerate(order) if case["facts"] == facts), None)
        if fits is None:
            raise Refused(
                f"The {split} split has too few images of {facts} for {len(like)} comparisons; give a smaller --n."
            )
        picked.append(order.pop(fits))
    return Reals(store, picked, like.shape)


def wishes(snapshot: Snapshot, like: Reals) -> list[dict[str, str]]:
    """For each real the facts that a sample of the snapshot can share with it, so that both sides have one mixture."""
    known = {*snapshot.recipe.conditions, *modalities.named(snapshot.modality)().free}
    return [{name: value for name, value in facts.items() if name in known} for facts in like.facts()]
