"""What a metric is: a number with a name, what it needs, its bounds, and which way is better."""

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
MIN_PATIENTS = 4  # held-out patients below which a distance says who they are, not how real the others look
WIDE_FEATURES = 256  # dimensions above which an interval leaves half as many groups out, to save time

ABSENCES: dict[Need, str] = {
    "features": "needs features",
    "classes": "needs classes: a fact with two values or more, or an extractor that has its own",
    "images": "needs the images themselves",
}


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """One row of the report's table.

    Args:
        name: as the table shows it.
        better: ``lower``, ``higher``, or ``reals``: the nearer to the figure of real images (the floor), the better.
        definition: the formula and its source.
        needs: what has to be there besides the number of images.
        min_images: images a side below which it is not computed.
        min_patients: held-out patients below which it is not computed.
        bounds: what the value cannot leave; an interval is cut there.
        headline: whether the command prints it; the report shows all.
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
        """Whether each extractor has a value of its own."""
        return "images" not in self.needs

    def score(self, evidence: Evidence, seed: int = 0) -> Score | MissingScore:
        """The number with its floor and interval, or what it would have needed."""
        absent = next((ABSENCES[need] for need in self.needs if not evidence.has(need)), None)
        if absent is None and len(evidence.test) < self.min_images:
            absent = f"needs {self.min_images} images a side; there are {len(evidence.test)}"
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
        """The number with its floor and interval.

        Raises:
            Refused: what it would need.
        """

    def make_score(self, evidence: Evidence, value: float, **more: Any) -> Score:
        """A score with what all scores of this metric share; `more` are other fields of it."""
        own = {"definition": self.definition}
        if self.is_of_features:
            own |= {"dimensions": evidence.test.shape[1], "extractor": evidence.extractor.label}
        return Score(metric=self.name, value=value, images=len(evidence.test), better=self.better, **{**own, **more})


@dataclass(frozen=True, kw_only=True)
class PairMetric(Metric):
    """Of two sets of features: held-out against synthetic images; the floor is held-out against training images.

    Args:
        compute: a function of two sets of features (images, dimensions).
    """

    compute: PairFunction

    def measure(self, evidence: Evidence, seed: int) -> Score:
        return self.measure_sides(evidence, (evidence.test, evidence.fake, evidence.floor))

    def measure_sides(
        self, evidence: Evidence, sides: tuple[FeatureRows, FeatureRows, FeatureRows], **more: Any
    ) -> Score:
        """Of these features of the held-out, synthetic and training images; `more` are other fields of the score."""
        test, fake, floor = sides
        low = high = None
        if len(set(evidence.patients)) > 1:
            parts = JACKKNIFE_PARTS if test.shape[1] <= WIDE_FEATURES else JACKKNIFE_PARTS // 2
            with suppress(Refused):  # too few may be left when a patient with many images is left out
                interval = compute_jackknife_interval(
                    lambda a, b: self.compute(test[a], fake[b]), evidence.patients, _name_fakes(len(fake)), parts
                )
                low, high = (float(np.clip(end, *self.bounds)) for end in interval)
        more = {"dimensions": test.shape[1], "floor": self.compute(test, floor), "low": low, "high": high, **more}
        return self.make_score(evidence, self.compute(test, fake), **more)


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """Of the synthetic images alone; in place of a floor stands the same number of the held-out images.

    Args:
        compute: a function of one set of rows.
        make_rows: what the function gets of the held-out and of the synthetic images.
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
        """The definition, with what it depends on."""
        return self.definition


def _name_fakes(n: int) -> list[str]:
    """Every synthetic image is drawn by itself."""
    return [f"synthetic {i}" for i in range(n)]
