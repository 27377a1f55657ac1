"""Can a classifier tell two sets apart? (Lopez-Paz 2017): a linear one, and the nearest neighbour."""

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
CHANCE = 0.5  # area under the curve of two sets of one distribution: the floor, which need not be measured


def compute_classifier_auc(x: FeatureArray, y: FeatureArray, groups: NDArray[np.integer], seed: int = 0) -> float:
    """Area under the curve of a logistic regression in 5-fold cross-validation: 0.5 cannot tell, 1 tells always.

    A linear classifier does not see a change of variance alone; `compute_neighbour_accuracy` does.

    Args:
        groups: (images of both,), such as patients; a group is never on both sides of a fold.

    Raises:
        Refused: fewer groups than folds in a set.
    """
    for side in (groups[: len(x)], groups[len(x) :]):
        if len(set(side.tolist())) < FOLDS:
            raise Refused(f"A classifier with {FOLDS} folds needs {FOLDS} patients a side; there are {len(set(side))}.")
    labels = np.r_[np.zeros(len(x)), np.ones(len(y))]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(
        model, np.concatenate([x, y]), labels, groups=groups, cv=folds, method="decision_function"
    )
    return float(roc_auc_score(labels, scores))


def compute_neighbour_accuracy(x: FeatureArray, y: FeatureArray) -> float:
    """Share of images whose nearest other image is of their own set: 0.5 cannot tell, below 0.5 hints at copies."""
    both = np.concatenate([x, y])
    apart = cdist(both, both)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(1)
    return float(((nearest < len(x)) == (np.arange(len(both)) < len(x))).mean())


@dataclass(frozen=True, kw_only=True)
class ClassifierAUC(Metric):
    """Cross-validated by patient, so it needs to know whom each image is of."""

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
    " images as patients; 0.5 = cannot tell, which is the floor by definition",
)
NEIGHBOUR_ACCURACY = PairMetric(
    name="nearest-neighbour accuracy",
    better="reals",
    bounds=(0, 1),
    compute=compute_neighbour_accuracy,
    definition="share of images whose nearest other is of their own set (Lopez-Paz 2017); 0.5 = cannot tell",
)
