"""The two sides of a report: held-out real images, and synthetic ones with the same facts, of any origin."""

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ganatomy.checkpoint import META, Snapshot, find_snapshot, open_snapshot
from ganatomy.data.samples import holds_samples, read_samples
from ganatomy.data.store import Store, open_store
from ganatomy.errors import Refused
from ganatomy.evaluation.images.foreign import foreign
from ganatomy.evaluation.images.sample_cache import Stack
from ganatomy.evaluation.images.sets import (
    MOST_TRAINING,
    Images,
    Reals,
    Some,
    disjoint,
    matching,
    paired,
    reals,
    wishes,
)
from ganatomy.imaging.image import Image
from ganatomy.modalities import table as modalities
from ganatomy.modalities.facts import Facts
from ganatomy.modalities.modality import Modality
from ganatomy.pyramid import Shape
from ganatomy.sampling import sample

FEWEST = 4  # images a side
MOST = 2048  # images a side unless told
DRAWN = {2: 60, 3: 24}  # samples of a run at least, so that there is something to see


@dataclass(frozen=True)
class Sides:
    """What is compared.

    Args:
        kind: the modality.
        test: held-out real images.
        train: training images, all or 4,096 of them.
        floor: training images with the facts of `test`, one by one.
        fakes: all synthetic images.
        places: of those that have the facts of `test`, one by one.
        about: what the report says of the synthetic images.
        snapshot: what drew them, if it is at hand.
        same_store: whether the model is known to have been trained on this store; None = not known.
    """

    kind: Modality
    test: Reals
    train: Reals
    floor: Reals
    fakes: Stack
    places: list[int]
    about: dict[str, Any]
    snapshot: Snapshot | None
    same_store: bool | None

    @property
    def fake(self) -> Images:
        """As many synthetic images as held-out ones, with the same facts."""
        return Some(self.fakes, self.places)

    @property
    def others(self) -> Reals:
        """Training images that are not in `floor`."""
        taken = {case["row"] for case in self.floor.cases}
        return self.train.but([case for case in self.train.cases if case["row"] not in taken])

    def shown(self, images: Images, i: int) -> Image:
        """Image i in its own values, as displayed, with the median spacing of the store: the same for both sides."""
        return self.kind.denormalise(Image(images[i], self.test.spacing(), images.facts()[i]))


@dataclass(frozen=True)
class Asked:
    """What is wanted of both sides.

    Args:
        n: images a side at most; None = as many as both have, at most 2,048.
        seed: of samples that are drawn here.
        facts: of anybody's images.
        shape: the level at which anybody's images are compared; None = the largest that they fill.
        held_out: a store of other patients to compare with; None = the test patients of the training set.
        least: synthetic images that a protocol needs.
    """

    n: int | None = None
    seed: int = 0
    facts: Facts = field(default_factory=Facts)
    shape: Shape | None = None
    held_out: Path | None = None
    least: int = 0

    @property
    def limit(self) -> int:
        return max(self.n or MOST, self.least)


def sides(images: Path, store: Store | Path | str | None, asked: Asked) -> Sides:
    """Gather both sides.

    Args:
        images: samples, a run, a snapshot, or a folder of anybody's images.
        store: the training set; None = that of the run.

    Raises:
        Refused: nothing to compare, too few, or patients that the training has seen.
    """
    store = store_of(images, store)
    found = _gathered(images, store, asked)
    test, places = _matched(found.test, found.fakes)
    disjoint(test, reals(store, "train", test.shape))
    return Sides(
        modalities.named(store.manifest.modality)(),
        test,
        reals(store, "train", test.shape, MOST_TRAINING),
        matching(store, "train", test),
        found.fakes,
        places,
        found.about,
        found.snapshot,
        found.same_store,
    )


def beside(compared: Sides, images: Path, asked: Asked) -> Images:
    """Images of another model with the facts of the same held-out images, for the figure that shows several models.

    Raises:
        Refused: nothing there, or labels that do not fit.
    """
    found = _gathered(images, compared.train.store, replace(asked, shape=compared.test.shape, least=0))
    if found.fakes.shape != compared.test.shape:
        raise Refused(f"{images} holds images of {found.fakes.shape}; these are {compared.test.shape}.")
    return Some(found.fakes, _matched(compared.test, found.fakes)[1])


def _gathered(images: Path, store: Store, asked: Asked) -> "_Side":
    """What the synthetic images are, whatever their origin, and the held-out ones for them."""
    if holds_samples(images):
        return _of_samples(images, store, asked)
    if (images / "snapshots").is_dir() or (images / META).exists():
        return _of_snapshot(images, store, asked)
    if not images.is_dir():
        raise Refused(f"There is no folder {images}; give samples, a run, or a folder of images.")
    count, level, drawn = foreign(images, store, asked.facts, asked.shape, asked.limit * 4)
    test = _held_out(store, asked.held_out, level, asked.limit)
    return _Side(test, Stack(drawn, count, level), {"generator": f"the folder {images.name}"}, None, None)


@dataclass(frozen=True)
class _Side:
    test: Reals
    fakes: Stack
    about: dict[str, Any]
    snapshot: Snapshot | None
    same_store: bool | None


def store_of(images: Path, store: Store | Path | str | None) -> Store:
    """The store that is given, or else that of the run or of the snapshot's run.

    Raises:
        Refused: neither.
    """
    if isinstance(store, Store):
        return store
    if store is not None:
        return open_store(Path(store))
    run = images if (images / "store.json").exists() else images.parent.parent
    if (run / "store.json").exists():
        return open_store(Path(json.loads((run / "store.json").read_text())["path"]))
    raise Refused(f"{images} does not tell its store of real images; give the store, too.")


def _held_out(store: Store, other: Path | None, shape: Shape, n: int) -> Reals:
    if other is None:
        return reals(store, "test", shape, n)
    opened = open_store(other)
    if opened.manifest.modality != store.manifest.modality or shape not in opened.manifest.levels:
        raise Refused(f"{other} holds {opened.manifest.modality} of {opened.manifest.levels}; {shape} is needed.")
    return Reals(opened, opened.cases[:n], shape)


def _of_samples(images: Path, store: Store, asked: Asked) -> _Side:
    rows, drawn = read_samples(images)
    limit = asked.limit
    fakes = Stack(itertools.islice(drawn, 4 * limit), min(len(rows), 4 * limit))
    record = rows[0]["record"]
    about = {k: record[k] for k in ("generator", "snapshot_sha256", "kimg", "truncation", "seed")}
    told = record.get("trained_on")
    same = None if told is None else told == store.manifest.fingerprint
    return _Side(_held_out(store, asked.held_out, fakes.shape, limit), fakes, about, None, same)


def _of_snapshot(images: Path, store: Store, asked: Asked) -> _Side:
    snapshot = open_snapshot(find_snapshot(images), ("generator", "discriminator"))
    shape = snapshot.scope.reads[0].shape
    test = _held_out(store, asked.held_out, shape, asked.n or MOST)
    wanted = wishes(snapshot, test)
    count = max(asked.n or DRAWN[len(shape)], len(test), asked.least)
    wanted = [wanted[i % len(wanted)] for i in range(count)]
    fakes = Stack(sample(snapshot, count, asked.seed, wanted), count, shape)
    trained_on = snapshot.trained_on["fingerprint"]
    about = {
        "generator": snapshot.recipe.name,
        "snapshot_sha256": snapshot.digest,
        "seed": asked.seed,
        "kimg": snapshot.images / 1000,
        "trained_on": trained_on,
    }
    return _Side(test, fakes, about, snapshot, trained_on == store.manifest.fingerprint)


def _matched(test: Reals, fakes: Stack) -> tuple[Reals, list[int]]:
    """Held-out images that have a synthetic partner of the same facts, and the partners' places."""
    partners = paired(test.facts(), fakes.facts())
    cases = [case for case, place in zip(test.cases, partners, strict=True) if place is not None]
    places = [place for place in partners if place is not None]
    if not places:
        sides = [Counter(", ".join(f"{k}={v}" for k, v in sorted(f.items())) for f in s.facts()) for s in (fakes, test)]
        told = [" and ".join(words or "no facts" for words in side) for side in sides]
        raise Refused(f"No label fits: the synthetic images have {told[0]}, the held-out images {told[1]}.")
    if len(places) < FEWEST:
        raise Refused(
            f"{len(places)} images a side are too few; {FEWEST} are needed at least (there are {len(fakes)} synthetic"
            f" and {len(test)} held-out images)."
        )
    return test.but(cases), places
