"""Samples that are curated: a wall of pictures, what is measured on them, and the decisions about them."""

import io
import shlex
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from ganatomy.data.decisions import Decision, make_decisions, read_decisions, write_decisions
from ganatomy.data.samples import INDEX_FILE
from ganatomy.data.store import Store
from ganatomy.datasets.store_dataset import StoreDataset
from ganatomy.errors import Refused
from ganatomy.evaluation.curation import SampleScore, score_samples
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import Mark, mark_collected, mark_synthetic
from ganatomy.imaging.pictures import convert_to_uint8, make_png_fields
from ganatomy.library.samples import Samples
from ganatomy.modalities.table import get_modality
from ganatomy.studio.maker import Maker
from ganatomy.studio.shelves import PATIENTS, PHANTOMS

WALL_WIDTH = 320  # pixels of a picture of the wall; larger pictures are reduced
ARTEFACTS, LIKENESS = "score for artefacts", "likeness of the nearest training image"


class Curating:
    """The samples of one folder, and the file of the decisions about them.

    Args:
        samples: the samples.
        file: of the decisions; those that it holds already are kept.
        maker: the thread in which samples are measured.

    Raises:
        Refused: the file holds decisions about other samples.
    """

    def __init__(self, samples: Samples, file: Path, maker: Maker) -> None:
        self.samples, self.file, self._maker = samples, file, maker
        self.kind = get_modality(samples.modality)()
        self._names = [str(row["file"]) for row in samples.rows]
        self._decisions = dict(read_decisions(file, samples.path / INDEX_FILE).decisions) if file.exists() else {}
        self._deciding = threading.Lock()
        self._measures: list[dict[str, float]] = []
        self._nearest: dict[int, Image] = {}  # training images, by the place of the sample
        self._real_mark: Mark | None = None
        self.real_warning = ""

    def describe(self) -> dict[str, Any]:
        """Describe the samples with what was decided about each."""
        items = [
            {"name": name, "facts": row.get("facts") or {}, "decision": self._decisions.get(name)}
            for name, row in zip(self._names, self.samples.rows, strict=True)
        ]
        paths = shlex.join([str(self.samples.path), "--only", str(self.file)])
        command = f"ganatomy export {paths} --to dicom --out STUDIES"
        return {"title": self.samples.path.name, "file": str(self.file), "command": command, "items": items}

    def measure(self, store: Store | None) -> dict[str, Any]:
        """Measure every sample once, and score it against the training images of a store if one is open.

        Returns:
            ``measures``, those of each sample by name, and ``real``, what training images beside them show.

        Raises:
            Refused: a sample cannot be read, or the store does not fit.
        """
        if not self._measures:
            self._measures = self._maker.do(lambda: self._measure(store))
        return {"measures": self._measures, "real": self.real_warning}

    def _measure(self, store: Store | None) -> list[dict[str, float]]:
        if store is None:
            return [self._measure_one(place, None) for place in range(len(self.samples))]
        scores = score_samples(self.samples.path, store)
        self.real_warning = PATIENTS if store.shows_patients else PHANTOMS
        train = StoreDataset(store, "train", self.samples[0].shape)
        self._nearest = {place: train.read(score.nearest).image for place, score in enumerate(scores)}
        self._real_mark = mark_collected("A training image.", store.shows_patients)
        return [self._measure_one(place, score) for place, score in enumerate(scores)]

    def _measure_one(self, place: int, score: SampleScore | None) -> dict[str, float]:
        found = {} if score is None else {ARTEFACTS: score.artefacts, LIKENESS: score.likeness}
        measures = self.kind.measure_image(self.kind.denormalise(self.samples[place]))
        return found | {name: value for name, value in measures.items() if np.isfinite(value)}

    def decide(self, name: str, decision: Decision | None) -> dict[str, int]:
        """Decide about a sample and write all decisions; None takes a decision back. Returns counts by decision.

        Raises:
            Refused: there is no such sample.
        """
        if name not in self._names:
            raise Refused(f"{self.samples.path.name} has no sample {name!r}.")
        with self._deciding:
            self._decisions.pop(name, None)
            if decision is not None:
                self._decisions[name] = decision
            write_decisions(self.file, make_decisions(self.samples.path / INDEX_FILE, self._decisions))
            made = list(self._decisions.values())
        return {"accept": made.count("accept"), "reject": made.count("reject")}

    def draw(self, place: int) -> bytes:
        """Draw the picture of a sample for the wall, as PNG that says what it shows.

        Raises:
            Refused: there is no such sample, or it cannot be read.
        """
        if not 0 <= place < len(self.samples):
            raise Refused(f"{self.samples.path.name} has {len(self.samples)} samples, and no number {place}.")
        image = self.samples[place]
        return self._make_picture(image, mark_synthetic(dict(image.provenance)))

    def draw_nearest(self, place: int) -> bytes:
        """Draw the training image that is most like a sample, as PNG that says whether it shows a patient.

        Raises:
            Refused: no store was opened, or the samples have not been measured.
        """
        if place not in self._nearest or self._real_mark is None:
            raise Refused("The nearest training image is known after the samples were measured with a store opened.")
        return self._make_picture(self._nearest[place], self._real_mark)

    def _make_picture(self, image: Image, mark: Mark) -> bytes:
        picture = Pillow.fromarray(convert_to_uint8(self.kind.render_image(self.kind.denormalise(image))))
        picture.thumbnail((WALL_WIDTH, WALL_WIDTH))
        file = io.BytesIO()
        picture.save(file, format="PNG", pnginfo=make_png_fields(mark, np.asarray(picture)))
        return file.getvalue()
