"""Shelves: rows of images that can be looked at, whether they are files, cases of a store, or made when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ganatomy.data.store import Store
from ganatomy.datasets.store_dataset import StoreDataset
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.library.model import Model
from ganatomy.library.samples import Samples
from ganatomy.modalities.modality import Modality
from ganatomy.modalities.table import get_modality
from ganatomy.sampling import list_facts
from ganatomy.studio.envelope import encode_shown_image

MODEL_IMAGES = 64  # images of a model that its shelf offers; each is made when it is looked at
MODEL_SEED = 0


@dataclass(frozen=True)
class Item:
    """An image of a shelf before it is read.

    Args:
        name: what the list shows.
        facts: of the image.
        record: how a synthetic image was made; empty for others.
    """

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shelf:
    """Images of one origin and one modality.

    Args:
        title: what the page calls them.
        modality: name of their modality.
        warning: a sentence that stands over the images, such as that they show patients; empty without one.
        items: the images.
        read: reads or makes the image of a place, in [-1, 1].
        drawn_apart: whether the views of a hanging were drawn independently, and do not show one woman.
    """

    title: str
    modality: str
    warning: str
    items: Sequence[Item]
    read: Callable[[int], Image]
    drawn_apart: bool = True

    @cached_property
    def kind(self) -> Modality:
        """The modality."""
        return get_modality(self.modality)()

    def describe(self) -> dict[str, Any]:
        """Describe the shelf for its page."""
        items = [{"name": one.name, "facts": one.facts} for one in self.items]
        return {
            "title": self.title,
            "modality": self.modality,
            "warning": self.warning,
            "drawn_apart": self.drawn_apart,
        } | {"items": items}

    def encode(self, place: int) -> bytes:
        """Encode an image for the browser.

        Raises:
            Refused: there is no such image, or it cannot be read.
        """
        if not 0 <= place < len(self.items):
            raise Refused(f"{self.title} has {len(self.items)} images, and no image number {place}.")
        item = self.items[place]
        about = {"name": item.name, "warning": self.warning, "record": item.record}
        return encode_shown_image(self.read(place), self.kind, about)


SYNTHETIC = "Synthetic images. Not for diagnosis."
PATIENTS = "These images show real patients. Do not copy or hand on any of them."
PHANTOMS = "Phantoms or synthetic images; they show no patients."


def shelve_samples(samples: Samples) -> Shelf:
    """Make the shelf of a folder of samples."""
    items = [Item(row["file"], dict(row.get("facts") or {}), dict(row["record"])) for row in samples.rows]
    return Shelf(f"Samples in {samples.path.name}", samples.modality, SYNTHETIC, items, lambda place: samples[place])


def shelve_store(store: Store) -> list[Shelf]:
    """Make a shelf for each split of a store that has cases; the name of a file of a patient is not shown."""
    warning = PATIENTS if store.shows_patients else PHANTOMS
    return [_shelve_split(store, split, warning) for split, cases in store.manifest.splits.items() if cases]


def _shelve_split(store: Store, split: str, warning: str) -> Shelf:
    dataset = StoreDataset(store, split)
    items = [Item(f"{split} {number}", dict(case["facts"])) for number, case in enumerate(dataset.cases, 1)]
    title = f"{split.capitalize()} cases of {store.path.name}"
    return Shelf(title, store.manifest.modality, warning, items, lambda place: dataset.read(place).image, False)


def shelve_model(model: Model, draw: Callable[[int], Image]) -> Shelf:
    """Make the shelf of a model's first samples.

    Args:
        model: the model.
        draw: makes the sample of a number of seed 0.
    """
    space = list_facts(model.snapshot)
    items = [Item(f"number {number}", space.choose_facts({}, number, MODEL_SEED)) for number in range(MODEL_IMAGES)]
    return Shelf(f"Samples of seed {MODEL_SEED}", model.modality, SYNTHETIC, items, draw)
