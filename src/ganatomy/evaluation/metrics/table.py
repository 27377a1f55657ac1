"""Table of the metrics, in the order of the report."""

from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.metrics.frechet import FID_INFINITY, FRECHET_DISTANCE
from ganatomy.evaluation.metrics.inception_score import INCEPTION_SCORE
from ganatomy.evaluation.metrics.kid import KID
from ganatomy.evaluation.metrics.metric import Metric
from ganatomy.evaluation.metrics.mmd import MMD
from ganatomy.evaluation.metrics.ms_ssim import LIKENESS_OF_PAIRS
from ganatomy.evaluation.metrics.precision_recall import COVERAGE, DENSITY, PRECISION, RECALL
from ganatomy.evaluation.metrics.two_sample import CLASSIFIER_AUC, NEIGHBOUR_ACCURACY
from ganatomy.evaluation.metrics.variety import MEAN_DISTANCE
from ganatomy.evaluation.metrics.vendi import VENDI_SCORE
from ganatomy.evaluation.statistics import MissingScore, Score

_IN_ORDER: tuple[Metric, ...] = (
    FRECHET_DISTANCE,
    FID_INFINITY,
    KID,
    MMD,
    PRECISION,
    RECALL,
    DENSITY,
    COVERAGE,
    VENDI_SCORE,
    INCEPTION_SCORE,
    CLASSIFIER_AUC,
    NEIGHBOUR_ACCURACY,
    LIKENESS_OF_PAIRS,
    MEAN_DISTANCE,
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _IN_ORDER}


def is_headline(name: str) -> bool:
    """Whether the command prints this score: headlines of the table, and all values of published protocols."""
    return name not in METRICS or METRICS[name].headline


def score_features(evidence: Evidence, seed: int = 0) -> list[Score | MissingScore]:
    """Compute all metrics of features; those without sufficient input say what they need."""
    return [metric.score(evidence, seed) for metric in METRICS.values() if metric.is_of_features]


def score_images(evidence: Evidence, seed: int = 0) -> list[Score | MissingScore]:
    """Compute all metrics of the images themselves, which do not depend on the extractor."""
    return [metric.score(evidence, seed) for metric in METRICS.values() if not metric.is_of_features]
