"""Classifier two-sample tests (Lopez-Paz 2017): a linear classifier, and the nearest neighbour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence
from ganatomy.evaluation.metrics.frechet import FeatureArray
from ganatomy.evaluation.metrics.metric import Metric, PairMetric
from ganatomy.evaluation.statistics import Score, compute_auc_interval

FOLDS = 5
CHANCE = 0.5  # area under the curve for two sets of the same distribution, which is the floor by definition


def compute_classifier_auc(x: FeatureArray, y: FeatureArray, groups: NDArray[np.integer], seed: int = 0) -> float:
    """Compute the area under the curve of a logistic regression in 5-fold cross-validation.

    0.5 means that the sets cannot be distinguished, 1 that they always can. A linear classifier does not detect a
    change of the variance alone; `compute_neighbour_accuracy` does.

    Args:
        x, y: features (images, dimensions) of both sets.
        groups: group of each image of both sets, such as its patient; a group is never divided between folds.
        seed: seed of the folds.

    Raises:
        Refused: a set has fewer groups than folds.
    """
    for side in (groups[: len(x)], groups[len(x) :]):
        if len(set(side.tolist())) < FOLDS:
            raise Refused(
                f"A classifier with {FOLDS} folds needs {FOLDS} patients per side; there are {len(set(side))}."
            )
    labels = np.r_[np.zeros(len(x)), np.ones(len(y))]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(
        model, np.concatenate([x, y]), labels, groups=groups, cv=folds, method="decision_function"
    )
    return float(roc_auc_score(labels, scores))


def compute_neighbour_accuracy(x: FeatureArray, y: FeatureArray) -> float:
    """Compute the share of images whose nearest other image is of the same set.

    0.5 means that the sets cannot be distinguished; a value below 0.5 suggests copies.
    """
    both = np.concatenate([x, y])
    apart = cdist(both, both)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(1)
    return float(((nearest < len(x)) == (np.arange(len(both)) < len(x))).mean())


@dataclass(frozen=True, kw_only=True)
class ClassifierAUC(Metric):
    """The AUC of `compute_classifier_auc`, cross-validated by patient."""

    def measure(self, evidence: Evidence, seed: int) -> Score:
        def compute(other: FeatureArray, others: list[str]) -> float:
            groups = np.unique([*evidence.patients, *others], return_inverse=True)[1]
            return compute_classifier_auc(evidence.test, other, groups, seed)

        value = compute(evidence.fake, [f"synthetic {i}" for i in range(len(evidence.fake))])
        low, high = compute_auc_interval(value, len(set(evidence.patients)), len(evidence.fake))
        return self.make_score(evidence, value, floor=CHANCE, low=low, high=high)


CLASSIFIER_AUC = ClassifierAUC(
    name="classifier AUC",
    better="lower",
    bounds=(0, 1),
    min_patients=FOLDS,
    definition="logistic regression, 5 folds by patient (Lopez-Paz 2017), interval by Newcombe 2006 for as many real"
    " images as patients; 0.5 = not distinguishable, which is the floor by definition",
)
NEIGHBOUR_ACCURACY = PairMetric(
    name="nearest-neighbour accuracy",
    better="reals",
    bounds=(0, 1),
    compute=compute_neighbour_accuracy,
    definition="share of images whose nearest other image is of the same set (Lopez-Paz 2017); 0.5 = not"
    " distinguishable",
)
