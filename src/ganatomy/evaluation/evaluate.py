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

from ganatomy.data.samples import AUDIT, digest_of, holds_samples
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.extractors import table as extractors
from ganatomy.evaluation.extractors.extractor import Extractor, Rows, extracted
from ganatomy.evaluation.extractors.handcrafted import Handcrafted
from ganatomy.evaluation.extractors.inception import Inception2015
from ganatomy.evaluation.failures import Judge, Judged, best_and_worst
from ganatomy.evaluation.feature_cache import features_of
from ganatomy.evaluation.feature_scores import Space, scored
from ganatomy.evaluation.image_statistics import described, likeness
from ganatomy.evaluation.images.comparison import Asked, Sides, sides
from ganatomy.evaluation.images.comparison import beside as other_model
from ganatomy.evaluation.images.sets import Images
from ganatomy.evaluation.metrics.swd import descriptors
from ganatomy.evaluation.privacy.audit import audit
from ganatomy.evaluation.protocols import named as protocol_named
from ganatomy.evaluation.report import figures, page
from ganatomy.evaluation.report.embedding import classical_mds, ellipse, umap
from ganatomy.evaluation.statistics import Missing, Score
from ganatomy.evaluation.swd_scores import yardstick
from ganatomy.machine.durable import new_folder, read_lines, write_json
from ganatomy.modalities.facts import Facts
from ganatomy.pyramid import Shape, written

FORMAT = 2
RANKED = 15  # best and worst images that the report names


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
    facts: Facts | None = None,
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
    asked = Asked(n, seed, facts or Facts(), shape, held_out, needed)
    compared = sides(images, store, asked)
    ndim = len(compared.test.shape)
    chosen = extractors.named(extractor, ndim, compared.others, weights)
    judged = Judge(compared.train.store, compared.test.shape, compared.snapshot)(compared.fakes)
    first = space_of(compared, chosen)
    models = {name: _features(chosen, other_model(compared, path, asked)) for name, path in (beside or {}).items()}
    content: dict[str, Any] = {
        "format": FORMAT,
        "images": compared.about,
        "store": _about(compared.train.store),
        "compared": {
            "images_a_side": len(compared.test),
            "patients": len(set(compared.test.groups())),
            "synthetic_images": len(compared.fakes),
            "shape": written(compared.test.shape),
            "real_split": "test" if held_out is None else "all of another store",
            "trained_on_this_store": compared.same_store,
            "seed": seed,
        },
        "swd": _swd(compared),
        **_scores(compared, first, seed),
        **described(compared),
        "embedding": _embedding(first, models, seed),
        "failures": _failures(judged),
        "privacy": audit(compared, chosen, seed),
        "selection": _json(images / "selection.json"),
    }
    if published is not None:
        content["scores"] += [_told(one) for one in published(compared, weights)]
    log = read_lines(images / "log.jsonl") if (images / "log.jsonl").exists() else []
    with new_folder(out) as folder:
        pictures = figures.draw(folder, compared, judged, content, log)
        write_json(folder / "report.json", _slim(content))
        page.write(folder / "report.html", content, pictures)
    if holds_samples(images):
        _leave_word(images, content["privacy"], out)
    return _slim(content)


def _about(store: Store) -> dict[str, Any]:
    about = store.manifest
    return {
        "fingerprint": about.fingerprint,
        "modality": about.modality,
        "patients": about.patients,
        "splits": about.splits,
        "quarantined": about.quarantined,
    }


def space_of(compared: Sides, extractor: Extractor) -> Space:
    """Features of all sides; classes are the extractor's own, or else a fact of the store."""
    others = features_of(extractor, compared.others, "training images") if len(compared.others) else None
    test = features_of(extractor, compared.test, "held-out images")
    space = Space(
        extractor,
        test,
        _features(extractor, compared.fake),
        features_of(extractor, compared.floor, "training images"),
        np.zeros((0, test.shape[1]), np.float32) if others is None else others,
        compared.test.groups(),
        compared.floor.groups(),
    )
    if isinstance(extractor, Inception2015):
        return replace(space, classes=(extractor.probabilities, "the 1,008 of Inception 2015"))
    for name, model in _models(compared, space).items():
        return replace(space, classes=(model.predict_proba, f"{name}, learnt on training images"))
    return space


def _models(compared: Sides, space: Space) -> dict[str, Pipeline]:
    """A classifier for each fact that images show, learnt on training images."""
    rows = np.concatenate([space.others, space.floor])
    facts = compared.others.facts() + compared.floor.facts()
    models = {}
    for name in sorted(set(facts[0]) - set(compared.kind.free)):
        values = [fact[name] for fact in facts]
        if len(set(values)) > 1:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
            models[name] = model.fit(rows, values)
    return models


def _scores(compared: Sides, space: Space, seed: int) -> dict[str, Any]:
    found: list[Score | Missing] = [*scored(space, seed), likeness(compared, seed)]
    named: dict[str, Any] = {}
    used: list[Extractor] = [space.extractor]
    if space.extractor.name != "handcrafted":
        reference = compared.others if len(compared.others) >= 8 else compared.floor
        hand = Handcrafted(reference)
        found += scored(space_of(compared, hand), seed)
        used.append(hand)
        named = {"constant_among_reals": hand.departures(compared.fake)}
    consistency = {
        name: {
            "test": _accuracy(model, space.test, compared.test.facts(), name),
            "synthetic": _accuracy(model, space.fake, compared.fake.facts(), name),
            "definition": "share of images whose label a logistic regression on training images' features tells",
        }
        for name, model in _models(compared, space).items()
    }
    return {
        "scores": [_told(one) for one in found if isinstance(one, Score)],
        "not_computed": [one.model_dump() for one in found if isinstance(one, Missing)],
        "extractors": {one.name: {"sha256": one.digest, "words": one.words} for one in used},
        "handcrafted": named,
        "label_consistency": consistency,
    }


def _accuracy(model: Pipeline, rows: Rows, facts: list[dict[str, str]], name: str) -> float | None:
    known = [i for i, fact in enumerate(facts) if name in fact]
    if not known:
        return None
    return round(float(np.mean(model.predict(rows[known]) == np.array([facts[i][name] for i in known]))), 4)


def _told(score: Score) -> dict[str, Any]:
    return {**score.model_dump(), "excess": score.excess}


def _swd(compared: Sides) -> dict[str, Any]:
    measure = yardstick(compared.test, compared.floor)
    patches = descriptors(compared.fake, measure.protocol, "fakes")
    fake = measure.distance([patches])
    low, high = measure.interval(patches) if len(set(compared.test.groups())) > 1 else (None, None)
    return {
        "protocol": measure.words,
        "fake": fake.model_dump(),
        "real_floor": measure.floor.model_dump(),
        "low": low,
        "high": high,
    }


def _features(extractor: Extractor, images: Images) -> Rows:
    return extracted(extractor, images, len(images), "synthetic images")


def _embedding(space: Space, models: dict[str, Rows], seed: int) -> dict[str, Any]:
    """Points of the plane by side and model, and the share of each within the ellipse of the held-out images."""
    sides = {"held-out": space.test, "training": space.floor, "synthetic": space.fake, **models}
    rows = np.concatenate(list(sides.values()))
    ends = np.cumsum([len(one) for one in sides.values()])[:-1]
    found: dict[str, Any] = {}
    for name, plane in (("classical MDS", classical_mds(rows)), ("UMAP", umap(rows, seed))):
        if plane is not None and len(space.test) >= 3:
            points = dict(zip(sides, np.split(plane, ends), strict=True))
            inside = ellipse(points["held-out"])
            found[name] = {
                "points": {side: one.tolist() for side, one in points.items()},
                "share_inside": {side: round(inside.share_inside(one), 4) for side, one in points.items()},
            }
    return found


def _failures(judged: Judged) -> dict[str, Any]:
    best, worst = best_and_worst(judged, RANKED)
    return {
        "parts": list(judged.parts),
        "definition": "mean of the parts, each in deviations of validation images from their median, bent below 10:"
        " distance to the 3rd nearest training image in features, largest departure of a measure, the"
        " discriminator's score",
        "scores": _rounded(judged.scores),
        "best": best,
        "worst": [{"image": i, "score": round(float(judged.scores[i]), 3), "reason": judged.reason(i)} for i in worst],
    }


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(v), 3) for v in values]


def _slim(content: dict[str, Any]) -> dict[str, Any]:
    """What goes into report.json: all but the points of pictures."""
    embedding = {name: {k: v for k, v in one.items() if k != "points"} for name, one in content["embedding"].items()}
    return {**content, "embedding": embedding}


def _leave_word(samples: Path, privacy: dict[str, Any], out: Path) -> None:
    """Beside the samples: whether the audit was passed, for `export` to read."""
    word = {
        "samples_sha256": digest_of(samples),
        "passed": privacy["passed"],
        "verdict": privacy["verdict"],
        "report": hashlib.sha256((out / "report.json").read_bytes()).hexdigest(),
    }
    write_json(samples / AUDIT, word)


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None
