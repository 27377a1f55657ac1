"""The base classes of metrics: name, formula, required input, bounds, and direction of improvement."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence, Need
from ganatomy.evaluation.extractors.extractor import FeatureRows
from ganatomy.evaluation.statistics import JACKKNIFE_PARTS, Better, MissingScore, Score, compute_jackknife_interval

PairFunction = Callable[[FeatureRows, FeatureRows], float]
MIN_PATIENTS = 4  # with fewer held-out patients, a distance reflects who they are rather than the quality of images
WIDE_FEATURES = 256  # above so many dimensions, an interval leaves out half as many groups, to save time

ABSENCES: dict[Need, str] = {
    "features": "needs features",
    "classes": "needs classes: a fact with at least two values, or an extractor with classes",
    "images": "needs the images themselves",
}


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """One row of the table in the report.

    Args:
        name: name in the table.
        better: ``lower``, ``higher``, or ``reals`` = the nearer to the value of real images (the floor), the better.
        definition: the formula and its source.
        needs: required input besides the number of images.
        min_images: least number of images per side.
        min_patients: least number of held-out patients.
        bounds: range of possible values, to which an interval is clipped.
        headline: whether the command prints the value; the report shows all values.
    """

    name: str
    better: Better
    definition: str
    needs: tuple[Need, ...] = ("features",)
    min_images: int = 2
    min_patients: int = 1
    bounds: tuple[float, float] = (-np.inf, np.inf)
    headline: bool = False

    @property
    def is_of_features(self) -> bool:
        """Whether the metric has a separate value for each extractor."""
        return "images" not in self.needs

    def score(self, evidence: Evidence, seed: int = 0) -> Score | MissingScore:
        """Compute the value with its floor and interval, or say what input is missing."""
        absent = next((ABSENCES[need] for need in self.needs if not evidence.has(need)), None)
        if absent is None and len(evidence.test) < self.min_images:
            absent = f"needs {self.min_images} images per side; there are {len(evidence.test)}"
        patients = len(set(evidence.patients))
        if absent is None and patients < self.min_patients:
            absent = f"needs {self.min_patients} held-out patients; there are {patients}"
        if absent is None:
            try:
                return self.measure(evidence, seed)
            except Refused as reason:
                absent = str(reason)
        extractor = evidence.extractor.name if self.is_of_features else None
        return MissingScore(metric=self.name, why=absent, extractor=extractor)

    @abstractmethod
    def measure(self, evidence: Evidence, seed: int) -> Score:
        """Compute the value with its floor and interval.

        Raises:
            Refused: input is missing; the message says what the metric needs.
        """

    def make_score(self, evidence: Evidence, value: float, **more: Any) -> Score:
        """Make a score with the fields that all scores of this metric share; `more` are further fields."""
        own = {"definition": self.definition}
        if self.is_of_features:
            own |= {"dimensions": evidence.test.shape[1], "extractor": evidence.extractor.label}
        return Score(metric=self.name, value=value, images=len(evidence.test), better=self.better, **{**own, **more})


@dataclass(frozen=True, kw_only=True)
class PairMetric(Metric):
    """A metric of two sets of features: held-out against synthetic images; the floor is held-out against training.

    Args:
        compute: a function of two sets of features (images, dimensions).
    """

    compute: PairFunction

    def measure(self, evidence: Evidence, seed: int) -> Score:
        return self.measure_sides(evidence, (evidence.test, evidence.fake, evidence.floor))

    def measure_sides(
        self, evidence: Evidence, sides: tuple[FeatureRows, FeatureRows, FeatureRows], **more: Any
    ) -> Score:
        """Measure features of held-out, synthetic and training images; `more` are further fields of the score."""
        test, fake, floor = sides
        low = high = None
        if len(set(evidence.patients)) > 1:
            parts = JACKKNIFE_PARTS if test.shape[1] <= WIDE_FEATURES else JACKKNIFE_PARTS // 2
            with suppress(Refused):  # without a patient with many images, too few images may remain
                interval = compute_jackknife_interval(
                    lambda a, b: self.compute(test[a], fake[b]), evidence.patients, _name_fakes(len(fake)), parts
                )
                low, high = (float(np.clip(end, *self.bounds)) for end in interval)
        more = {"dimensions": test.shape[1], "floor": self.compute(test, floor), "low": low, "high": high, **more}
        return self.make_score(evidence, self.compute(test, fake), **more)


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A metric of the synthetic images alone; its floor is the value of the held-out images.

    Args:
        compute: a function of one set of rows.
        make_rows: makes the rows of the held-out and of the synthetic images.
    """

    compute: Callable[[Any], float]
    make_rows: Callable[[Evidence], tuple[Any, Any]]

    def measure(self, evidence: Evidence, seed: int) -> Score:
        test, fake = self.make_rows(evidence)
        low, high = compute_jackknife_interval(
            lambda _, kept: self.compute(fake[kept]), ["all"], _name_fakes(len(fake))
        )
        more = {"dimensions": fake.shape[1], "floor": self.compute(test), "low": low, "high": high}
        return self.make_score(evidence, self.compute(fake), **more, definition=self.describe(evidence))

    def describe(self, evidence: Evidence) -> str:
        """Describe the definition, including what it depends on."""
        return self.definition


def _name_fakes(n: int) -> list[str]:
    """Name a group for each synthetic image, since they are independent."""
    return [f"synthetic {i}" for i in range(n)]
