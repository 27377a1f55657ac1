"""The verb: compare images with patients that the training has not seen, and write a report."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ganatomy.data.samples import AUDIT_FILE, has_samples, hash_samples
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.extractors import table as extractors
from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, extract_features
from ganatomy.evaluation.extractors.handcrafted import Handcrafted
from ganatomy.evaluation.extractors.inception import Inception2015
from ganatomy.evaluation.failures import QualityScore, QualityScorer, find_best_and_worst
from ganatomy.evaluation.feature_cache import get_features
from ganatomy.evaluation.feature_scores import FeatureSpace, score_features
from ganatomy.evaluation.image_statistics import measure_images, measure_likeness
from ganatomy.evaluation.images.comparison import Comparison, ComparisonRequest, gather_comparison
from ganatomy.evaluation.images.comparison import gather_other_model as other_model
from ganatomy.evaluation.images.sets import ImageSet
from ganatomy.evaluation.metrics.swd import extract_descriptors
from ganatomy.evaluation.privacy.audit import audit_privacy
from ganatomy.evaluation.protocols import get_protocol as protocol_named
from ganatomy.evaluation.report import figures, page
from ganatomy.evaluation.report.embedding import compute_classical_mds, compute_umap, fit_ellipse
from ganatomy.evaluation.statistics import MissingScore, Score
from ganatomy.evaluation.swd_scores import make_swd_reference
from ganatomy.machine.durable import new_folder, read_lines, write_json
from ganatomy.modalities.facts import FactSource
from ganatomy.pyramid import Shape, format_shape

FORMAT = 2
RANKED_IMAGES = 15  # best and worst images that the report names


def evaluate(
    images: Path | str,
    store: Store | Path | str | None = None,
    out: Path | str = "report",
    n: int | None = None,
    seed: int = 1000,
    extractor: str = "random",
    weights: Path | None = None,
    protocol: str | None = None,
    held_out: Path | None = None,
    facts: FactSource | None = None,
    shape: Shape | None = None,
    beside: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Measure images against held-out patients; write ``report.json``, ``report.html`` and the pictures.

    Args:
        images: a run or snapshot, which draws its own samples; a folder of samples; or a folder of anybody's images
            (DICOM, NIfTI, PNG, TIFF, JPEG, NPY), which are prepared as the store was.
        store: the training set; for a run None = the store it was trained on.
        n: images a side at most; None = as many as both sides have, at most 2,048.
        seed: of the samples that are drawn here; away from those of the selection.
        extractor: ``random`` (needs no weights), ``med3d-50``, ``inception-2015``, ``dinov2-s`` and others.
        weights: file of a pretrained extractor.
        protocol: also compute a published definition: ``hagan-2022`` or ``pggan-swd-16384``.
        held_out: a store of other patients to compare with; None = the test patients of `store`.
        facts: of anybody's images, where the files do not carry them.
        shape: the stored size at which anybody's images are compared; None = the largest that they fill.
        beside: images of other models by name, for the figure of features in a plane.

    Returns:
        What ``report.json`` holds.

    Raises:
        Refused: too few images, sizes or labels that do not fit, patients that the training has seen, unknown weights.
    """
    images, out = Path(images), Path(out)
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder for the report.")
    needed, published = (0, None) if protocol is None else protocol_named(protocol)
    asked = ComparisonRequest(n, seed, facts or FactSource(), shape, held_out, needed)
    compared = gather_comparison(images, store, asked)
    ndim = len(compared.test.shape)
    chosen = extractors.get_extractor(extractor, ndim, compared.other_train, weights)
    judged = QualityScorer(compared.train.store, compared.test.shape, compared.snapshot)(compared.fakes)
    first = extract_feature_space(compared, chosen)
    models = {
        name: _extract_features(chosen, other_model(compared, path, asked)) for name, path in (beside or {}).items()
    }
    content: dict[str, Any] = {
        "format": FORMAT,
        "images": compared.provenance,
        "store": _describe_store(compared.train.store),
        "compared": {
            "images_a_side": len(compared.test),
            "patients": len(set(compared.test.groups())),
            "synthetic_images": len(compared.fakes),
            "shape": format_shape(compared.test.shape),
            "real_split": "test" if held_out is None else "all of another store",
            "trained_on_this_store": compared.same_store,
            "seed": seed,
        },
        "swd": _measure_swd(compared),
        **_compute_scores(compared, first, seed),
        **measure_images(compared),
        "embedding": _compute_embeddings(first, models, seed),
        "failures": _summarise_failures(judged),
        "privacy": audit_privacy(compared, chosen, seed),
        "selection": _read_json(images / "selection.json"),
    }
    if published is not None:
        content["scores"] += [_dump_score(one) for one in published(compared, weights)]
    log = read_lines(images / "log.jsonl") if (images / "log.jsonl").exists() else []
    with new_folder(out) as folder:
        pictures = figures.draw_pictures(folder, compared, judged, content, log)
        write_json(folder / "report.json", _drop_points(content))
        page.write_page(folder / "report.html", content, pictures)
    if has_samples(images):
        _write_audit_note(images, content["privacy"], out)
    return _drop_points(content)


def _describe_store(store: Store) -> dict[str, Any]:
    about = store.manifest
    return {
        "fingerprint": about.fingerprint,
        "modality": about.modality,
        "patients": about.patients,
        "splits": about.splits,
        "quarantined": about.quarantined,
    }


def extract_feature_space(comparison: Comparison, extractor: Extractor) -> FeatureSpace:
    """Features of all sides; classes are the extractor's own, or else a fact of the store."""
    others = get_features(extractor, comparison.other_train, "training images") if len(comparison.other_train) else None
    test = get_features(extractor, comparison.test, "held-out images")
    space = FeatureSpace(
        extractor,
        test,
        _extract_features(extractor, comparison.matched_fakes),
        get_features(extractor, comparison.floor, "training images"),
        np.zeros((0, test.shape[1]), np.float32) if others is None else others,
        comparison.test.groups(),
        comparison.floor.groups(),
    )
    if isinstance(extractor, Inception2015):
        return replace(space, classes=(extractor.compute_probabilities, "the 1,008 of Inception 2015"))
    for name, model in _fit_classifiers(comparison, space).items():
        return replace(space, classes=(model.predict_proba, f"{name}, learnt on training images"))
    return space


def _fit_classifiers(comparison: Comparison, space: FeatureSpace) -> dict[str, Pipeline]:
    """A classifier for each fact that images show, learnt on training images."""
    rows = np.concatenate([space.other_train, space.floor])
    facts = comparison.other_train.facts() + comparison.floor.facts()
    models = {}
    for name in sorted(set(facts[0]) - set(comparison.modality.free_conditions)):
        values = [fact[name] for fact in facts]
        if len(set(values)) > 1:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
            models[name] = model.fit(rows, values)
    return models


def _compute_scores(comparison: Comparison, space: FeatureSpace, seed: int) -> dict[str, Any]:
    found: list[Score | MissingScore] = [*score_features(space, seed), measure_likeness(comparison, seed)]
    named: dict[str, Any] = {}
    used: list[Extractor] = [space.extractor]
    if space.extractor.name != "handcrafted":
        reference = comparison.other_train if len(comparison.other_train) >= 8 else comparison.floor
        hand = Handcrafted(reference)
        found += score_features(extract_feature_space(comparison, hand), seed)
        used.append(hand)
        named = {"constant_among_reals": hand.measure_departures(comparison.matched_fakes)}
    consistency = {
        name: {
            "test": _compute_accuracy(model, space.test, comparison.test.facts(), name),
            "synthetic": _compute_accuracy(model, space.fake, comparison.matched_fakes.facts(), name),
            "definition": "share of images whose label a logistic regression on training images' features tells",
        }
        for name, model in _fit_classifiers(comparison, space).items()
    }
    return {
        "scores": [_dump_score(one) for one in found if isinstance(one, Score)],
        "not_computed": [one.model_dump() for one in found if isinstance(one, MissingScore)],
        "extractors": {one.name: {"sha256": one.digest, "words": one.description} for one in used},
        "handcrafted": named,
        "label_consistency": consistency,
    }


def _compute_accuracy(model: Pipeline, rows: FeatureRows, facts: list[dict[str, str]], name: str) -> float | None:
    known = [i for i, fact in enumerate(facts) if name in fact]
    if not known:
        return None
    return round(float(np.mean(model.predict(rows[known]) == np.array([facts[i][name] for i in known]))), 4)


def _dump_score(score: Score) -> dict[str, Any]:
    return {**score.model_dump(), "excess": score.excess}


def _measure_swd(comparison: Comparison) -> dict[str, Any]:
    measure = make_swd_reference(comparison.test, comparison.floor)
    patches = extract_descriptors(comparison.matched_fakes, measure.protocol, "fakes")
    fake = measure.compute_score([patches])
    low, high = measure.compute_interval(patches) if len(set(comparison.test.groups())) > 1 else (None, None)
    return {
        "protocol": measure.description,
        "fake": fake.model_dump(),
        "real_floor": measure.floor.model_dump(),
        "low": low,
        "high": high,
    }


def _extract_features(extractor: Extractor, images: ImageSet) -> FeatureRows:
    return extract_features(extractor, images, len(images), "synthetic images")


def _compute_embeddings(space: FeatureSpace, models: dict[str, FeatureRows], seed: int) -> dict[str, Any]:
    """Points of the plane by side and model, and the share of each within the ellipse of the held-out images."""
    sides = {"held-out": space.test, "training": space.floor, "synthetic": space.fake, **models}
    rows = np.concatenate(list(sides.values()))
    ends = np.cumsum([len(one) for one in sides.values()])[:-1]
    found: dict[str, Any] = {}
    for name, plane in (("classical MDS", compute_classical_mds(rows)), ("UMAP", compute_umap(rows, seed))):
        if plane is not None and len(space.test) >= 3:
            points = dict(zip(sides, np.split(plane, ends), strict=True))
            inside = fit_ellipse(points["held-out"])
            found[name] = {
                "points": {side: one.tolist() for side, one in points.items()},
                "share_inside": {side: round(inside.compute_share_inside(one), 4) for side, one in points.items()},
            }
    return found


def _summarise_failures(quality: QualityScore) -> dict[str, Any]:
    best, worst = find_best_and_worst(quality, RANKED_IMAGES)
    return {
        "parts": list(quality.parts),
        "definition": "mean of the parts, each in deviations of validation images from their median, bent below 10:"
        " distance to the 3rd nearest training image in features, largest departure of a measure, the"
        " discriminator's score",
        "scores": _round_values(quality.scores),
        "best": best,
        "worst": [
            {"image": i, "score": round(float(quality.scores[i]), 3), "reason": quality.describe_worst_part(i)}
            for i in worst
        ],
    }


def _round_values(values: NDArray[np.float64]) -> list[float]:
    return [round(float(v), 3) for v in values]


def _drop_points(content: dict[str, Any]) -> dict[str, Any]:
    """What goes into report.json: all but the points of pictures."""
    embedding = {name: {k: v for k, v in one.items() if k != "points"} for name, one in content["embedding"].items()}
    return {**content, "embedding": embedding}


def _write_audit_note(samples: Path, privacy: dict[str, Any], out: Path) -> None:
    """Beside the samples: whether the audit was passed, for `export` to read."""
    word = {
        "samples_sha256": hash_samples(samples),
        "passed": privacy["passed"],
        "verdict": privacy["verdict"],
        "report": hashlib.sha256((out / "report.json").read_bytes()).hexdigest(),
    }
    write_json(samples / AUDIT_FILE, word)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None
