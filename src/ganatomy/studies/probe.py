"""Cross-validated prediction of clinical measurements from features, with a permutation test (Sun 2022, table 5).

A number is predicted by ridge regression, a class by logistic regression, both on standardised features. All images of
a patient are in the same fold. The ridge penalty is chosen within the training folds by leave-one-out. The reported
values refer to predictions for patients outside the fit.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ganatomy.config import Config
from ganatomy.data.tables import read_features, read_measurements
from ganatomy.errors import Refused
from ganatomy.evaluation.statistics import compute_jackknife_interval, compute_mean_auc
from ganatomy.machine.durable import write_json

PROBE_FOLDS = 5
MIN_PROBED_PATIENTS = 20  # with features and target
PROBE_RIDGE_ALPHAS = np.logspace(-2, 6, 17)  # ridge penalties to choose from
PROBE_PERMUTATIONS = 200
MIN_LABELLED_PATIENTS, LABELLED_REPEATS = 4, 40  # labelled patients; random choices of them
LOG_PREFIX = "log:"

FloatArray = NDArray[np.float64]


class ProbeResult(Config):
    """The quality of the prediction of one target from one table of features.

    Args:
        features: name of the table.
        target: the target as requested.
        metric: ``R2`` of a number, ``AUC`` of a class (the mean over classes, each against the rest).
        value: the metric of predictions for patients outside the fit.
        low, high: 95 % interval by a jackknife over patients.
        null: 95th percentile of the metric with the target shuffled among patients.
        p: share of shuffles with at least the same value.
        images, patients: numbers of images and patients with both features and target.
    """

    features: str
    target: str
    metric: Literal["R2", "AUC"]
    value: float
    low: float
    high: float
    null: float
    p: float
    images: int
    patients: int

    def describe(self) -> str:
        """Describe the result in one line."""
        return (
            f"{self.features}: {self.metric} of {self.target} {self.value:.3f} [{self.low:.3f}, {self.high:.3f}],"
            f" shuffled {self.null:.3f}, p {self.p:.3f}, {self.images} images of {self.patients} patients"
        )


class FewLabelsResult(Config):
    """The quality of a prediction from few labelled patients, while the encoder has seen all images without labels.

    Args:
        labelled: number of patients from which the prediction was learnt; all others were predicted.
        value: mean of the metric over repeats, each with other labelled patients.
        low, high: 2.5th and 97.5th percentile of the repeats.
    """

    features: str
    target: str
    metric: Literal["R2", "AUC"]
    labelled: int
    value: float
    low: float
    high: float
    repeats: int

    def describe(self) -> str:
        """Describe the result in one line."""
        return (
            f"{self.features}: {self.metric} of {self.target} from {self.labelled} labelled patients {self.value:.3f},"
            f" in 95 % of {self.repeats} choices [{self.low:.3f}, {self.high:.3f}]"
        )


def probe_features(
    features: Mapping[str, Path],
    table: Path,
    targets: Sequence[str],
    out: Path | None = None,
    key: str = "file",
    seed: int = 0,
    few: Sequence[int] = (),
) -> list[ProbeResult | FewLabelsResult]:
    """Predict each target from each table of features.

    Args:
        features: tables by name, made by `encode`, with a column ``patient`` and the latent code.
        table: CSV with the measurements.
        targets: columns of the CSV, such as ``fev1``, ``log:fev1`` or, for classes, ``gold``.
        out: a JSON file for the results.
        key: the column that joins both tables.
        few: numbers of labelled patients to learn from as well, to measure the value of unlabelled images.

    Raises:
        Refused: a table or column does not exist, or too few patients have features and target.
    """
    measured = read_measurements(table, key)
    found: list[ProbeResult | FewLabelsResult] = []
    for name, path in features.items():
        keys, patients, codes = read_features(path, key)
        for target in targets:
            joined = _join_target(target, keys, patients, codes, measured, table)
            found.append(_probe_target(name, target, joined, seed))
            found += [_probe_with_few_labels(name, target, joined, count, seed) for count in few]
    if out is not None:
        write_json(out, [one.model_dump() for one in found])
    return found


class _ProbeData(NamedTuple):
    """Codes (n, latent) with their targets, as numbers or as words, and patients."""

    codes: FloatArray
    numbers: FloatArray | None
    labels: NDArray[Any]
    patients: list[str]


def _join_target(
    target: str,
    keys: list[str],
    patients: list[str],
    codes: FloatArray,
    measurements: dict[str, dict[str, str]],
    table: Path,
) -> _ProbeData:
    column = target.removeprefix(LOG_PREFIX)
    if column not in next(iter(measurements.values())):
        raise Refused(
            f"{table} has no column {column}; its columns are {', '.join(next(iter(measurements.values())))}."
        )
    here = [i for i, k in enumerate(keys) if (measurements.get(k, {}).get(column) or "").strip()]
    who = [patients[i] for i in here]
    if len(set(who)) < MIN_PROBED_PATIENTS:
        raise Refused(
            f"{len(set(who))} patients have both features and {column}; {MIN_PROBED_PATIENTS} are needed. Do"
            " both tables have"
            " the same values in the column that joins them?"
        )
    words = [measurements[keys[i]][column].strip() for i in here]
    numbers = _parse_numbers(words, target)
    if numbers is None and target.startswith(LOG_PREFIX):
        raise Refused(f"{target}: {column} contains words or numbers without a logarithm, such as {words[0]!r}.")
    return _ProbeData(codes[here], numbers, np.array(words), who)


def _probe_target(name: str, target: str, data: _ProbeData, seed: int) -> ProbeResult:
    if data.numbers is not None:
        return _regression(name, target, data.codes, data.numbers, data.patients, seed)
    return _classification(name, target, data.codes, data.labels, data.patients, seed)


def _probe_with_few_labels(name: str, target: str, data: _ProbeData, count: int, seed: int) -> FewLabelsResult:
    """Learn from a few patients and predict all others, repeatedly with other patients."""
    names = np.unique(data.patients)
    if not MIN_LABELLED_PATIENTS <= count <= len(names) - MIN_LABELLED_PATIENTS:
        raise Refused(
            f"--few {count}: give {MIN_LABELLED_PATIENTS} to {len(names) - MIN_LABELLED_PATIENTS} of"
            f" {len(names)} patients."
        )
    rng = np.random.default_rng(seed)
    who = np.array(data.patients)
    values: list[float] = []
    for _ in range(LABELLED_REPEATS):
        labelled = np.isin(who, rng.choice(names, count, replace=False))
        if data.numbers is not None:
            values.append(_r2_of(data.codes, data.numbers, labelled))
        elif min(len(np.unique(data.labels[side])) for side in (labelled, ~labelled)) > 1:  # both have classes
            values.append(_auc_of(data.codes, data.labels, labelled))
    if not values:
        raise Refused(f"--few {count}: {target} has only one value in every choice of patients; give a larger number.")
    low, high = np.quantile(values, (0.025, 0.975))
    return FewLabelsResult(
        features=name,
        target=target,
        metric="AUC" if data.numbers is None else "R2",
        labelled=count,
        value=round(float(np.mean(values)), 4),
        low=round(float(low), 4),
        high=round(float(high), 4),
        repeats=len(values),
    )


def _r2_of(x: FloatArray, y: FloatArray, labelled: NDArray[np.bool_]) -> float:
    model = make_pipeline(StandardScaler(), RidgeCV(PROBE_RIDGE_ALPHAS)).fit(x[labelled], y[labelled])
    error = ((y - model.predict(x))[~labelled] ** 2).sum()
    return float(1 - error / ((y[~labelled] - y[labelled].mean()) ** 2).sum())


def _auc_of(x: FloatArray, y: NDArray[Any], labelled: NDArray[np.bool_]) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(x[labelled], y[labelled])
    return compute_mean_auc(model.predict_proba(x[~labelled]), y[~labelled], model.classes_)


def _parse_numbers(texts: list[str], target: str) -> FloatArray | None:
    """Parse the target as numbers and take the logarithm if requested; None if it does not consist of numbers."""
    try:
        values = [float(word) for word in texts]
        return np.array([math.log(v) for v in values] if target.startswith(LOG_PREFIX) else values)
    except ValueError:
        return None


def _folds(x: FloatArray, patients: list[str]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    return list(GroupKFold(PROBE_FOLDS).split(x, groups=patients))


def _regression(name: str, target: str, x: FloatArray, y: FloatArray, patients: list[str], seed: int) -> ProbeResult:
    """Compute R2 of out-of-fold predictions; all shuffles are fitted at once, since they share a decomposition."""
    shuffled = np.stack([y, *_shuffles(y, patients, seed)], 1)
    predicted, guess = np.empty_like(shuffled), np.empty_like(shuffled)
    for fit, test in _folds(x, patients):
        model = make_pipeline(StandardScaler(), RidgeCV(PROBE_RIDGE_ALPHAS, alpha_per_target=True))
        predicted[test] = model.fit(x[fit], shuffled[fit]).predict(x[test])
        guess[test] = shuffled[fit].mean(0)  # the prediction without features
    scores = 1 - ((shuffled - predicted) ** 2).sum(0) / ((shuffled - guess) ** 2).sum(0)

    def value(places: NDArray[np.intp], _: NDArray[np.intp]) -> float:
        error, spread = (((y - p[:, 0])[places] ** 2).sum() for p in (predicted, guess))
        return float(1 - error / spread)

    return _result(name, target, "R2", scores, compute_jackknife_interval(value, patients, ["one"]), patients)


def _classification(
    name: str, target: str, x: FloatArray, y: NDArray[Any], patients: list[str], seed: int
) -> ProbeResult:
    classes = np.unique(y)
    if len(classes) < 2 or min((y == c).sum() for c in classes) < PROBE_FOLDS:
        raise Refused(f"{target}: at least two classes with at least {PROBE_FOLDS} images each are needed.")

    def probabilities(labels: NDArray[Any]) -> FloatArray:
        found = np.zeros((len(labels), len(classes)))
        for fit, test in _folds(x, patients):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(x[fit], labels[fit])
            known = np.searchsorted(classes, model.classes_)
            found[np.ix_(test, known)] = model.predict_proba(x[test])
        return found

    told = probabilities(y)
    shuffles = _shuffles(y, patients, seed, PROBE_PERMUTATIONS // 4)
    scores = [
        compute_mean_auc(found, labels, classes)
        for labels, found in [(y, told), *((labels, probabilities(labels)) for labels in shuffles)]
    ]
    interval = compute_jackknife_interval(
        lambda places, _: compute_mean_auc(told[places], y[places], classes), patients, ["one"]
    )
    return _result(name, target, "AUC", np.array(scores), interval, patients)


def _shuffles(y: NDArray[Any], patients: list[str], seed: int, count: int = PROBE_PERMUTATIONS) -> list[NDArray[Any]]:
    """Give every patient the targets of a random one, repeated or cut to the patient's number of images."""
    rng = np.random.default_rng(seed)
    by_patient: dict[str, list[int]] = {}
    for i, patient in enumerate(patients):
        by_patient.setdefault(patient, []).append(i)
    groups = list(by_patient.values())
    found = []
    for _ in range(count):
        other = y.copy()
        for mine, theirs in zip(groups, [groups[i] for i in rng.permutation(len(groups))], strict=True):
            other[mine] = y[[theirs[i % len(theirs)] for i in range(len(mine))]]
        found.append(other)
    return found


def _result(
    name: str,
    target: str,
    metric: Literal["R2", "AUC"],
    scores: FloatArray,
    interval: tuple[float, float],
    patients: list[str],
) -> ProbeResult:
    value, null = float(scores[0]), scores[1:]
    return ProbeResult(
        features=name,
        target=target,
        metric=metric,
        value=round(value, 4),
        low=round(interval[0], 4),
        high=round(interval[1], 4),
        null=round(float(np.quantile(null, 0.95)), 4),
        p=round(float((1 + (null >= value).sum()) / (1 + len(null))), 4),
        images=len(patients),
        patients=len(set(patients)),
    )
