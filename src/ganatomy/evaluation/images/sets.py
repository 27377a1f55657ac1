"""The real images of a split as a set, and the pairing of real and synthetic images by their facts."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganatomy.channels import find_shares
from ganatomy.checkpoint import Snapshot
from ganatomy.data.cases import Cases, Row, as_cases
from ganatomy.data.numbers import list_number_facts
from ganatomy.data.store import Store, dequantise_pixels
from ganatomy.errors import Refused
from ganatomy.evaluation.images.image_set import ImageSet
from ganatomy.machine import progress
from ganatomy.modalities import table as modalities
from ganatomy.pyramid import Shape, rescale_spacing

MAX_TRAINING_IMAGES = 4096  # largest number of training images that are compared
CACHE_FOLDER = "features"  # folder within a store


@dataclass(frozen=True)
class RealImages:
    """Cases of one split at one level, which are read when they are needed.

    Args:
        store: the store.
        cases: cases of the store, which may be given as rows.
        shape: a stored level.
    """

    store: Store
    cases: Cases
    shape: Shape

    def __post_init__(self) -> None:
        given: Cases | Sequence[Row] = self.cases
        object.__setattr__(self, "cases", as_cases(given))

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, i: int) -> NDArray[np.float32]:
        """Image i in [-1, 1], canonically oriented."""
        return dequantise_pixels(self.store.read([self.cases.get_row(i)], self.shape)[0])

    def read_labels(self, i: int) -> NDArray[np.uint8] | None:
        """The class numbers of the label map of image i; None if the store has none."""
        place = find_shares(self.store.manifest.channels)
        if place.start == place.stop:
            return None
        return self.store.read_arrays(self.cases.get_row(i), self.shape)[place].argmax(0).astype(np.uint8)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Iterate over the images."""
        return (self[i] for i in range(len(self)))

    def facts(self) -> list[dict[str, str]]:
        return self.cases.list_facts()

    def groups(self) -> list[str]:
        """Return the pseudonyms of the patients."""
        return self.cases.list_texts("patient")

    def digests(self) -> list[str]:
        """Return hashes of the stored pixels."""
        return self.cases.list_hashes()

    @property
    def cache_folder(self) -> Path:
        """Folder within the store, so that data derived from patients remain with the store."""
        return self.store.path / CACHE_FOLDER

    def select_cases(self, cases: Cases | Sequence[Row]) -> "RealImages":
        return RealImages(self.store, as_cases(cases), self.shape)

    def spacing(self) -> tuple[float, ...] | None:
        """Return millimetres per voxel of these images: the median of the store, scaled to the level."""
        return rescale_spacing(self.store.manifest.spacing, self.store.manifest.shape, self.shape)


def select_real_images(store: Store, split: str, shape: Shape, n: int | None = None, seed: int = 0) -> RealImages:
    """Draw `n` cases of a split without replacement; all cases if `n` is None or there are not more.

    Raises:
        Refused: the store has no such level or no such case.
    """
    if tuple(shape) not in store.manifest.levels:
        raise Refused(f"The store {store.path} has no level {shape}; its levels are {store.manifest.levels}.")
    cases = store.split(split)
    if not cases:
        raise Refused(
            f"The store {store.path} has no {split} patient (splits: {store.manifest.splits}); at least three patients"
            " are needed, so that training, selection and report use different ones."
        )
    if n is not None and n < len(cases):
        chosen = np.random.default_rng(seed).choice(len(cases), n, replace=False)
        cases = cases[np.sort(chosen)]
    return RealImages(store, cases, tuple(shape))


def check_disjoint(held_out: RealImages, seen: RealImages) -> None:
    """Check that the training has seen no patient and no pixels of the held-out images.

    Raises:
        Refused: they share patients or pixels; the message says how many.
    """
    if held_out.store.read_key_name() != seen.store.read_key_name():
        progress.say(
            f"The pseudonyms of {held_out.store.path} and {seen.store.path} were made with different keys, so shared"
            " patients can be recognised only by images with equal pixels."
        )
    patients = set(held_out.groups()) & set(seen.groups())
    if patients:
        raise Refused(
            f"The held-out images of {held_out.store.path} share {len(patients)} patients with the training set of"
            f" {seen.store.path}, such as {min(patients)}; a comparison with them would not be valid."
        )
    pictures = set(held_out.digests()) & set(seen.digests())
    if pictures:
        raise Refused(
            f"{len(pictures)} held-out images of {held_out.store.path} are also in the training set of"
            f" {seen.store.path}, under the name of another patient."
        )


def select_matching_images(store: Store, split: str, reference: RealImages, seed: int = 0) -> RealImages:
    """Select equally many cases of another split, each with the facts of the corresponding reference image.

    Raises:
        Refused: the split has too few cases.
    """
    pool = select_real_images(store, split, reference.shape)
    order = pool.cases[np.random.default_rng(seed).permutation(len(pool))]
    facts_of = order.list_facts()
    numbers = list_numbers(store, reference.store)
    wanted = drop_numbers(reference.facts(), numbers)
    places = pair_facts(wanted, drop_numbers(facts_of, numbers))
    if missing := next((facts for facts, place in zip(wanted, places, strict=True) if place is None), None):
        raise Refused(
            f"The {split} split has too few images of {missing} for {len(reference)} comparisons; give a smaller --n."
        )
    if None in places and any(facts_of):
        facts = ", ".join(sorted({name for facts in facts_of for name in facts}))
        raise Refused(
            f"The held-out images of {reference.store.path} have no facts, those of {store.path} have {facts};"
            " prepare both"
            " with the same facts."
        )
    if None in places:
        raise Refused(f"The {split} split has {len(order)} images, fewer than {len(reference)}; give a smaller --n.")
    return RealImages(store, order[[place for place in places if place is not None]], reference.shape)


def list_numbers(*stores: Store) -> frozenset[str]:
    """List the facts that are numbers in any of the stores; a small store may have too few values to recognise them."""
    return frozenset().union(*(list_number_facts(store.manifest.facts) for store in stores))


def drop_numbers(facts: list[dict[str, str]], numbers: Collection[str]) -> list[dict[str, str]]:
    """Return the facts that are classes, by which images are paired; numbers hardly ever agree."""
    return [{name: value for name, value in one.items() if name not in numbers} for one in facts]


def pair_facts(requested_facts: list[dict[str, str]], available_facts: list[dict[str, str]]) -> list[int | None]:
    """Find, for each requested facts, the index of an unused image with equal facts; None if there is none."""
    left: dict[frozenset[tuple[str, str]], list[int]] = {}
    for place, facts in reversed(list(enumerate(available_facts))):
        left.setdefault(frozenset(facts.items()), []).append(place)
    found: list[int | None] = []
    for facts in requested_facts:
        kinds = [key for key, places in left.items() if places and key <= facts.items()]
        fits = min(kinds, key=lambda key: left[key][-1]) if kinds else None
        found.append(None if fits is None else left[fits].pop())
    return found


def list_requested_facts(snapshot: Snapshot, reference: ImageSet) -> list[dict[str, str]]:
    """List, for each real image, the facts that a sample of the snapshot can share with it."""
    known = {*snapshot.recipe.condition_space.names, *modalities.get_modality(snapshot.modality)().free_conditions}
    return [{name: value for name, value in facts.items() if name in known} for facts in reference.facts()]
