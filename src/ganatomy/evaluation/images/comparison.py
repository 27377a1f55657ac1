"""The two sides of a comparison: held-out real images, and synthetic images with the same facts."""

import itertools
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy.checkpoint import UNKNOWN_STORE, Snapshot, find_snapshot, is_model, open_snapshot
from ganatomy.data.samples import has_samples, read_samples
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Refused
from ganatomy.evaluation.feature_cache import FeatureCache
from ganatomy.evaluation.images.foreign import read_foreign_images
from ganatomy.evaluation.images.image_set import ImageSet, ImageSubset
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import (
    MAX_TRAINING_IMAGES,
    RealImages,
    check_disjoint,
    drop_numbers,
    list_numbers,
    list_requested_facts,
    pair_facts,
    select_matching_images,
    select_real_images,
)
from ganatomy.imaging.image import Image
from ganatomy.machine.durable import read_json
from ganatomy.modalities import table as modalities
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.modality import Modality
from ganatomy.pyramid import Shape
from ganatomy.sampling import sample

MIN_IMAGES = 4  # least number of images per side
MAX_IMAGES = 2048  # largest number of images per side by default
MIN_SAMPLES = {2: 60, 3: 24}  # least number of samples of a run, by the number of axes, so that figures are informative


@dataclass(frozen=True)
class Comparison:
    """Both sides of a report, gathered once and used by all its parts.

    Args:
        modality: modality of all images.
        test: held-out real images.
        train: training images, at most 4,096.
        floor: training images, each with the facts of the corresponding image of `test`.
        fakes: all synthetic images.
        matched_indices: indices of synthetic images, each with the facts of the corresponding image of `test`.
        provenance: origin of the synthetic images, for the report.
        snapshot: the snapshot that generated them, if it is available.
        same_store: whether the model was trained on this store; None = unknown.
        features: cache of the features of all images.
    """

    modality: Modality
    test: RealImages
    train: RealImages
    floor: RealImages
    fakes: SampleCache
    matched_indices: list[int]
    provenance: dict[str, Any]
    snapshot: Snapshot | None
    same_store: bool | None
    features: FeatureCache = field(default_factory=FeatureCache)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The facts that are numbers instead of classes."""
        return list_numbers(self.train.store, self.test.store)

    @cached_property
    def matched_fakes(self) -> ImageSet:
        """As many synthetic images as held-out images, with the same facts."""
        return ImageSubset(self.fakes, self.matched_indices)

    @cached_property
    def balanced_indices(self) -> list[int]:
        """The largest set of synthetic images with the same distribution of facts as the held-out images."""
        left = sorted(set(range(len(self.fakes))) - set(self.matched_indices))
        found = list(self.matched_indices)
        wanted, facts = (drop_numbers(images.facts(), self.numbers) for images in (self.test, self.fakes))
        while None not in (partners := pair_facts(wanted, [facts[i] for i in left])):
            taken = {left[place] for place in partners if place is not None}
            found += sorted(taken)
            left = [i for i in left if i not in taken]
        return sorted(found)

    @cached_property
    def other_train(self) -> RealImages:
        """Training images that are not in `floor`."""
        cases = self.train.cases
        return self.train.select_cases(cases[~np.isin(cases.rows, self.floor.cases.rows)])

    @property
    def shows_patients(self) -> bool:
        """Whether any of the real images may show a patient."""
        return self.train.store.shows_patients or self.test.store.shows_patients

    def make_display_image(self, images: ImageSet, i: int) -> Image:
        """Make image i for display in the modality's values, with the median spacing of the store for both sides."""
        return self.modality.denormalise(Image(images[i], self.test.spacing(), images.facts()[i]))


@dataclass(frozen=True)
class ComparisonRequest:
    """The request for the images of both sides.

    Args:
        n: largest number of images per side; None = as many as both sides have, at most 2,048.
        seed: seed of the samples.
        facts: facts of images of any origin.
        shape: level at which images of any origin are compared; None = the largest that they fill.
        held_out: a store of other patients to compare with; None = the test patients of the training set.
        min_fakes: number of synthetic images that a protocol needs.
    """

    n: int | None = None
    seed: int = 0
    facts: FactSource = field(default_factory=FactSource)
    shape: Shape | None = None
    held_out: Path | None = None
    min_fakes: int = 0

    @property
    def max_images(self) -> int:
        return max(self.n or MAX_IMAGES, self.min_fakes)


def gather_comparison(
    images: Path, store: Store | str | PathLike[str] | None, request: ComparisonRequest
) -> Comparison:
    """Gather the images of both sides.

    Args:
        images: samples, a run, a snapshot, or a folder of images of any origin.
        store: the training set; None = that of the run.
        request: the request.

    Raises:
        Refused: there are too few images or none, or the training has seen the held-out patients.
    """
    store = resolve_store(images, store)
    found = _gather_images(images, store, request)
    test, places = _match_facts(found.test, found.fakes, list_numbers(store, found.test.store))
    check_disjoint(test, select_real_images(store, "train", test.shape))
    return Comparison(
        modalities.get_modality(store.manifest.modality)(),
        test,
        select_real_images(store, "train", test.shape, MAX_TRAINING_IMAGES),
        select_matching_images(store, "train", test),
        found.fakes,
        places,
        found.provenance,
        found.snapshot,
        found.same_store,
    )


def gather_other_model(comparison: Comparison, images: Path, request: ComparisonRequest) -> ImageSet:
    """Gather images of another model with the facts of the held-out images, for the figure of several models.

    Raises:
        Refused: there are no images, or their labels do not fit.
    """
    found = _gather_images(images, comparison.train.store, replace(request, shape=comparison.test.shape, min_fakes=0))
    if found.fakes.shape != comparison.test.shape:
        raise Refused(f"{images} contains images of {found.fakes.shape}, but the others have {comparison.test.shape}.")
    return ImageSubset(found.fakes, _match_facts(comparison.test, found.fakes, comparison.numbers)[1])


def _gather_images(images: Path, store: Store, request: ComparisonRequest) -> "_GatheredImages":
    """Gather synthetic images of any origin, and the held-out images for them."""
    if has_samples(images):
        return _gather_from_samples(images, store, request)
    if is_model(images):
        return _gather_from_snapshot(images, store, request)
    if not images.is_dir():
        raise Refused(f"There is no folder {images}; give samples, a run, or a folder of images.")
    count, level, drawn = read_foreign_images(images, store, request.facts, request.shape, request.max_images * 4)
    test = _select_held_out(store, request.held_out, level, request.max_images)
    return _GatheredImages(
        test, SampleCache(drawn, count, level), {"generator": f"the folder {images.name}"}, None, None
    )


@dataclass(frozen=True)
class _GatheredImages:
    test: RealImages
    fakes: SampleCache
    provenance: dict[str, Any]
    snapshot: Snapshot | None
    same_store: bool | None


def resolve_store(images: Path, store: Store | str | PathLike[str] | None) -> Store:
    """Return the given store, or else that of the run or of the snapshot's run.

    Raises:
        Refused: no store is given, and there is no run.
    """
    if isinstance(store, Store):
        return store
    if store is not None:
        return open_store(Path(store))
    run = images if (images / "store.json").exists() else images.parent.parent
    if images.is_dir() and (run / "store.json").exists():
        return open_store(Path(read_json(run / "store.json")["path"]))
    raise Refused(f"{images} does not record which store it was trained on; give the store of real images as well.")


def _select_held_out(store: Store, other: Path | None, shape: Shape, n: int) -> RealImages:
    if other is None:
        return select_real_images(store, "test", shape, n)
    opened = open_store(other)
    if opened.manifest.modality != store.manifest.modality or shape not in opened.manifest.levels:
        raise Refused(
            f"{other} contains {opened.manifest.modality} of {opened.manifest.levels}, but {shape} is needed."
        )
    return RealImages(opened, opened.cases[:n], shape)


def _gather_from_samples(images: Path, store: Store, request: ComparisonRequest) -> _GatheredImages:
    rows, drawn = read_samples(images)
    limit = request.max_images
    named = ((image, {**record, "file": row["file"]}) for row, (image, record) in zip(rows, drawn, strict=True))
    fakes = SampleCache(itertools.islice(named, 4 * limit), min(len(rows), 4 * limit))
    record = rows[0]["record"]
    about = {k: record[k] for k in ("generator", "snapshot_sha256", "kimg", "truncation", "seed")}
    same = _is_same_store(record.get("trained_on"), store)
    return _GatheredImages(_select_held_out(store, request.held_out, fakes.shape, limit), fakes, about, None, same)


def _gather_from_snapshot(images: Path, store: Store, request: ComparisonRequest) -> _GatheredImages:
    snapshot = open_snapshot(find_snapshot(images), ("generator", "discriminator"))
    shape = snapshot.scope.regions[0].shape
    test = _select_held_out(store, request.held_out, shape, request.n or MAX_IMAGES)
    wanted = list_requested_facts(snapshot, test)
    count = max(request.n or MIN_SAMPLES[len(shape)], len(test), request.min_fakes)
    wanted = [wanted[i % len(wanted)] for i in range(count)]
    fakes = SampleCache(sample(snapshot, count, request.seed, wanted), count, shape)
    trained_on = snapshot.trained_on["fingerprint"]
    about = {
        "generator": snapshot.recipe.name,
        "snapshot_sha256": snapshot.digest,
        "seed": request.seed,
        "kimg": snapshot.images / 1000,
        "trained_on": trained_on,
    }
    return _GatheredImages(test, fakes, about, snapshot, _is_same_store(trained_on, store))


def _is_same_store(trained_on: str | None, store: Store) -> bool | None:
    """Whether the fingerprint that a model records is that of the store; None if the model records none."""
    return None if trained_on in (None, UNKNOWN_STORE) else trained_on == store.manifest.fingerprint


def _match_facts(test: RealImages, fakes: SampleCache, numbers: Collection[str]) -> tuple[RealImages, list[int]]:
    """Match held-out images with synthetic images of the same facts; return the matched images and indices."""
    real, synthetic = (drop_numbers(one.facts(), numbers) for one in (test, fakes))
    partners = pair_facts(real, synthetic)
    cases = test.cases[[i for i, place in enumerate(partners) if place is not None]]
    places = [place for place in partners if place is not None]
    if not places:
        sides = [Counter(", ".join(f"{k}={v}" for k, v in sorted(f.items())) for f in s) for s in (synthetic, real)]
        told = [" and ".join(words or "no facts" for words in side) for side in sides]
        raise Refused(f"No labels agree: the synthetic images have {told[0]}, the held-out images {told[1]}.")
    if len(places) < MIN_IMAGES:
        raise Refused(
            f"{len(places)} images on each side are too few; at least {MIN_IMAGES} are needed (there are"
            f" {len(fakes)} synthetic"
            f" and {len(test)} held-out images)."
        )
    return test.select_cases(cases), places
