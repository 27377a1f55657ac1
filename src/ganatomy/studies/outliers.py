"""Outlier scores of images from their reconstruction by a model: differences of voxels and of discriminator features.

The score follows f-AnoGAN (Schlegl 2019). Its parts are the mean squared difference of an image x and its
reconstruction G(E x), and that of the discriminator's features of both, which are the input of its last layer. Each
part is scaled by the validation images (median 0, 80 % of a normal distribution within +-1.28); the score is their
mean. A baseline without a model is also computed: the distance to the nearest training image at low resolution.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from ganatomy import randomness
from ganatomy.checkpoint import Snapshot
from ganatomy.data.store import Store
from ganatomy.data.tables import write_table
from ganatomy.encoding import Autoencoder, Pixels, read_original, select_cases
from ganatomy.errors import Refused
from ganatomy.evaluation.statistics import compute_auc_interval, compute_median_and_width
from ganatomy.imaging.pictures import shrink_to_row
from ganatomy.machine import progress
from ganatomy.machine.device import select_device as named_device
from ganatomy.machine.durable import write_json
from ganatomy.machine.progress import format_name
from ganatomy.steps.scope import crop_whole_images
from ganatomy.studies.anomalies import ANOMALIES

BASELINE_IMAGE_SIZE = 8  # voxels per axis of the images that the baseline compares
MIN_VALIDATION_IMAGES = 4  # to scale the parts of the score
BASELINE_NAME, OTHERS_NAME = "nearest training image", "others"

FloatArray = NDArray[np.float64]


class AnomalyScore:
    """Computes the score of an image and its parts, scaled by the validation images of a store.

    Args:
        snapshot: opened with its encoders, and with its discriminator if it has one.
        store: the images that the model was trained on.

    Raises:
        Refused: the snapshot has no encoder, or there are too few validation images.
    """

    def __init__(self, snapshot: Snapshot, store: Store, device: str | None = None) -> None:
        self._autoencoder = Autoencoder(snapshot, device)
        self._features = open_discriminator_features(snapshot, device)
        usual = select_cases(snapshot, store, "validation", None)
        if len(usual) < MIN_VALIDATION_IMAGES:
            raise Refused(
                f"{store.path} has {len(usual)} validation images; {MIN_VALIDATION_IMAGES} are needed to"
                " scale the scores."
            )
        train = select_cases(snapshot, store, "train", None)
        with progress.bar("training images", len(train)) as bar:
            small = []
            for case in train:
                small.append(shrink_to_row(read_original(store, case, snapshot), BASELINE_IMAGE_SIZE))
                bar.advance()
        self._train = np.stack(small)
        self.parts = ("reconstruction", *(("discriminator",) if self._features else ()))
        raw = [self._raw(read_original(store, case, snapshot), case["facts"]) for case in usual]
        self._units = {name: compute_median_and_width(np.array([one[name] for one in raw])) for name in raw[0]}

    def __call__(self, image: Pixels, facts: dict[str, str]) -> dict[str, float]:
        """Compute ``score``, its parts and the baseline of an image; larger values mean more unusual images."""
        raw = self._raw(image, facts)
        found = {name: (value - self._units[name][0]) / self._units[name][1] for name, value in raw.items()}
        return {"score": float(np.mean([found[name] for name in self.parts])), **found}

    def _raw(self, image: Pixels, facts: dict[str, str]) -> dict[str, float]:
        again = np.clip(self._autoencoder.decode(self._autoencoder.encode(image, facts), facts), -1, 1)
        found = {"reconstruction": float(np.mean((image - again) ** 2))}
        if self._features:
            a, b = self._features(image, facts), self._features(again, facts)
            found["discriminator"] = float(np.mean((a - b) ** 2))
        near = cdist(shrink_to_row(image, BASELINE_IMAGE_SIZE)[None], self._train)
        return {
            **found,
            BASELINE_NAME: float(near[near > 0].min(initial=np.inf)),
        }  # a training image is not compared with itself


class DiscriminatorFeatures:
    """Computes the input of a discriminator's layer for all scopes of an image."""

    def __init__(self, snapshot: Snapshot, layer: str, device: str | None) -> None:
        self._device = named_device(device)
        self._snapshot, self._network = snapshot, snapshot.load_network("discriminator", self._device)
        self._conditions = snapshot.recipe.condition_space
        self._scopes = snapshot.recipe.strategy.get_discriminator_scopes(snapshot.images, snapshot.recipe.shape)
        self._inputs: list[Tensor] = []
        self._network.get_submodule(layer).register_forward_pre_hook(self._record_input)

    def _record_input(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._inputs.append(inputs[0])

    def __call__(self, image: Pixels, facts: dict[str, str]) -> FloatArray:
        whole = torch.from_numpy(self._snapshot.convert_to_network(image))[None, None].to(self._device)
        condition = self._conditions.encode([facts]).to(self._device)
        found = []
        with torch.inference_mode():
            for scope in self._scopes:
                self._inputs.clear()
                self._network(crop_whole_images(scope, whole), condition, scope)
                found.append(self._inputs[-1].flatten().double().cpu().numpy())
        return np.concatenate(found)


def open_discriminator_features(snapshot: Snapshot, device: str | None) -> DiscriminatorFeatures | None:
    """Open the features of a snapshot's discriminator; None if it has none, or none with such a layer."""
    if "discriminator" not in snapshot.weights:
        return None
    layer = snapshot.recipe.networks["discriminator"].feature_layer
    return None if layer is None else DiscriminatorFeatures(snapshot, layer, device)


def score_outliers(
    snapshot: Snapshot,
    store: Store,
    out: Path,
    split: str = "test",
    planted: bool = False,
    seed: int = 0,
    others: Store | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Score the images of a split, or of another store; write ``scores.csv`` and ``outliers.json``.

    Args:
        snapshot: opened with all its networks.
        store: the store that the model was trained on.
        out: folder for the results.
        planted: also add every kind of artificial anomaly to every image, and compute how well they are detected.
        others: a store of images from another distribution; an AUC measures how well they are detected.

    Returns:
        The content of ``outliers.json``.

    Raises:
        Refused: the snapshot has no encoder, there are too few images, or a store does not fit.
    """
    judge = AnomalyScore(snapshot, store, device)
    cases = select_cases(snapshot, store, split, None)
    strangers = select_cases(snapshot, others, None, None) if others else []
    kinds = ANOMALIES if planted else {}

    def looked_at() -> Iterator[tuple[dict[str, Any], str, Pixels]]:
        for case in cases:
            image = read_original(store, case, snapshot)
            yield case, split, image
            for name, spoil in kinds.items():
                yield case, name, spoil(image, np.random.default_rng(randomness.derive_key(seed, name, case["row"])))
        for case in strangers:
            assert others is not None
            yield case, OTHERS_NAME, read_original(others, case, snapshot)

    by_what: dict[str, list[dict[str, Any]]] = {}
    with progress.bar("images", len(cases) * (1 + len(kinds)) + len(strangers)) as bar:
        for case, what, image in looked_at():
            row = {
                "file": format_name(case["file"]),
                "patient": case["patient"],
                "what": what,
                **judge(image, case["facts"]),
            }
            by_what.setdefault(what, []).append(row)
            bar.advance()
    usual = by_what.pop(split)
    scores = ("score", *judge.parts, BASELINE_NAME)
    content = {
        "snapshot_sha256": snapshot.digest,
        "split": split,
        "images": len(cases),
        "parts": list(judge.parts),
        "found": {what: _areas(usual, strange, scores) for what, strange in by_what.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    write_table([*usual, *(row for rows in by_what.values() for row in rows)], out / "scores.csv")
    write_json(out / "outliers.json", content)
    return content


def _areas(usual: list[dict[str, Any]], strange: list[dict[str, Any]], scores: Sequence[str]) -> dict[str, Any]:
    """Compute the area under the ROC curve of each score with its 95 % interval."""
    found = {}
    truth = [0] * len(usual) + [1] * len(strange)
    for name in scores:
        area = float(roc_auc_score(truth, [row[name] for row in [*usual, *strange]]))
        low, high = compute_auc_interval(area, len(strange), len(usual))
        found[name] = {"auc": round(area, 4), "low": round(low, 4), "high": round(high, 4)}
    return {"images": len(strange), **found}
