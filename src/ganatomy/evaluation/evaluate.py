"""The verb `evaluate`: compare synthetic images with held-out patients, and write a report."""

import hashlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ganatomy.data.samples import AUDIT_FILE, has_samples, hash_samples
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.evidence import Evidence, gather_evidence
from ganatomy.evaluation.extractors import table as extractors
from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows
from ganatomy.evaluation.failures import QualityScore, QualityScorer, find_best_and_worst
from ganatomy.evaluation.image_statistics import measure_images
from ganatomy.evaluation.images.comparison import Comparison, ComparisonRequest, gather_comparison, gather_other_model
from ganatomy.evaluation.images.sets import RealImages
from ganatomy.evaluation.learned.two_sample import attempt_learned_test
from ganatomy.evaluation.metrics.swd import extract_descriptors
from ganatomy.evaluation.metrics.table import score_features, score_images
from ganatomy.evaluation.privacy.audit import audit_privacy
from ganatomy.evaluation.privacy.suspects import (
    SUSPECTS_FILE,
    list_suspect_files,
    passes_without_suspects,
    write_suspects,
)
from ganatomy.evaluation.protocols import get_protocol
from ganatomy.evaluation.report import figures, page
from ganatomy.evaluation.report.embedding import compute_classical_mds, compute_umap, find_obstacle_to_umap, fit_ellipse
from ganatomy.evaluation.set_faults import find_set_faults
from ganatomy.evaluation.statistics import MissingScore, Score
from ganatomy.evaluation.swd_scores import make_swd_reference
from ganatomy.evaluation.verdicts import judge_report, list_warnings
from ganatomy.machine.device import usual_device
from ganatomy.machine.durable import new_folder, read_json, read_lines, write_json
from ganatomy.modalities.facts import FactSource, make_fact_source
from ganatomy.pyramid import Shape, format_shape

FORMAT = 2
RANKED_IMAGES = 15  # number of best and of worst images that the report names
MIN_REFERENCE_IMAGES = 8  # training images that scale an extractor; if fewer remain, the floor's are used


def evaluate(
    images: str | PathLike[str],
    store: Store | str | PathLike[str] | None = None,
    out: str | PathLike[str] = "report",
    n: int | None = None,
    seed: int = 1000,
    extractor: str = "random",
    weights: str | PathLike[str] | None = None,
    protocol: str | None = None,
    held_out: str | PathLike[str] | None = None,
    facts: FactSource | str | PathLike[str] | None = None,
    shape: Shape | None = None,
    beside: Mapping[str, str | PathLike[str]] | None = None,
    column: Mapping[str, str] | None = None,
    fact: Mapping[str, str] | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure images against held-out patients; write ``report.json``, ``report.html`` and the pictures.

    Args:
        images: a run or snapshot, from which samples are drawn; a folder of samples; or a folder of images of any
            origin (DICOM, NIfTI, PNG, TIFF, JPEG, NPY), which are prepared like the images of the store.
        store: the training set; None = the store on which the run was trained.
        out: folder of the report, which is new or empty.
        n: largest number of images per side; None = as many as both sides have, at most 2,048.
        seed: seed of the samples; its default differs from the seeds of `select`.
        extractor: ``random`` (needs no weights), ``med3d-50``, ``inception-2015``, ``dinov2-s`` and others.
        weights: file of the weights of a pretrained extractor.
        protocol: a published protocol that is computed additionally: ``hagan-2022`` or ``pggan-swd-16384``.
        held_out: a store of other patients to compare with; None = the test patients of `store`.
        facts: facts of images of any origin, if the files do not contain them: a CSV with a column ``file``.
        shape: stored size at which images of any origin are compared, in voxels; None = the largest that they fill.
        beside: images of other models by name, for the figure of features in a plane.
        column: the column of that CSV that holds a fact, such as ``{"laterality": "side"}``.
        fact: facts that all images of other origin have in common, such as ``{"view_position": "CC"}``.
        device: where to compute; None = a GPU if there is one.

    Returns:
        The content of ``report.json``.

    Raises:
        Refused: there are too few images, sizes or labels do not fit, the training has seen the patients, or the
            weights are unknown.

    Example:
        >>> import ganatomy
        >>> report = ganatomy.evaluate("runs/00000-pggan-mammogram", out="report", seed=1000)
        >>> report["compared"]["images_a_side"], report["compared"]["real_split"]
        (4, 'test')
        >>> report["swd"]["real_floor"]["average"] < report["swd"]["fake"]["average"]
        True
    """
    told = make_fact_source(facts, column, fact)
    file, other_store = (None if path is None else Path(path) for path in (weights, held_out))
    others = {name: Path(folder) for name, folder in (beside or {}).items()}
    with usual_device(device):
        return _write_report(
            Path(images), store, Path(out), n, seed, extractor, file, protocol, other_store, told, shape, others
        )


def _write_report(
    images: Path,
    store: Store | str | PathLike[str] | None,
    out: Path,
    n: int | None,
    seed: int,
    extractor: str,
    weights: Path | None,
    protocol: str | None,
    held_out: Path | None,
    facts: FactSource,
    shape: Shape | None,
    beside: Mapping[str, Path],
) -> dict[str, Any]:
    """What `evaluate` does, on the usual device."""
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder for the report.")
    needed, published = (0, None) if protocol is None else get_protocol(protocol)
    asked = ComparisonRequest(n, seed, facts, shape, held_out, needed)
    compared = gather_comparison(images, store, asked)
    ndim = len(compared.test.shape)
    chosen = extractors.get_extractor(extractor, ndim, compared.other_train, weights)
    companions = extractors.list_companions(chosen, ndim, _select_reference(compared))
    scorer = QualityScorer(compared.train.store, compared.test.shape, compared.snapshot, compared.features)
    learned, judges = attempt_learned_test(
        compared.train, compared.test, compared.fakes, compared.balanced_indices, seed, compared.numbers
    )
    judged = scorer(compared.fakes, judges)
    evidence = gather_evidence(compared, chosen)
    models = {
        name: compared.features.get_features(chosen, gather_other_model(compared, path, asked), f"images of {name}")
        for name, path in beside.items()
    }
    scores = _compute_scores(compared, evidence, companions, seed)
    embedding, missing = _compute_embeddings(evidence, models, seed)
    scores["not_computed"] += [one.model_dump() for one in missing]
    content: dict[str, Any] = {
        "format": FORMAT,
        "images": compared.provenance,
        "store": _describe_store(compared.train.store),
        "compared": {
            "images_a_side": len(compared.test),
            "patients": len(set(compared.test.groups())),
            "validation_images": len(compared.train.store.split("validation")),
            "synthetic_images": len(compared.fakes),
            "shape": format_shape(compared.test.shape),
            "real_split": "test" if held_out is None else "all of another store",
            "held_out_store": compared.test.store.manifest.fingerprint,
            "trained_on_this_store": compared.same_store,
            "seed": seed,
            "shows_patients": compared.shows_patients,
        },
        "swd": _measure_swd(compared),
        **scores,
        **measure_images(compared, seed),
        "learned": learned,
        "set_faults": find_set_faults(compared.fakes, compared.test),
        "embedding": embedding,
        "failures": _summarise_failures(judged),
        "privacy": audit_privacy(compared, chosen, seed),
        "selection": _read_json(images / "selection.json"),
    }
    if published is not None:
        content["scores"] += [_dump_score(one) for one in published(compared, weights)]
    content["verdicts"] = [one.model_dump() for one in judge_report(content)]
    content["warnings"] = list_warnings(content)
    log = read_lines(images / "log.jsonl") if (images / "log.jsonl").exists() else []
    with new_folder(out) as folder:
        pictures = figures.draw_pictures(
            folder, compared, judged, scorer.score_real(compared.floor), judges, content, log
        )
        write_json(folder / "report.json", _drop_points(content))
        write_suspects(folder / SUSPECTS_FILE, compared, content["privacy"])
        page.write_page(folder / "report.html", content, pictures)
    if has_samples(images):
        _write_audit_note(images, content["privacy"], list_suspect_files(compared, content["privacy"]), out)
    return _drop_points(content)


def _select_reference(comparison: Comparison) -> RealImages:
    """Select the training images that are not compared or, if there are too few, those that are."""
    return comparison.other_train if len(comparison.other_train) >= MIN_REFERENCE_IMAGES else comparison.floor


def _describe_store(store: Store) -> dict[str, Any]:
    about = store.manifest
    return {
        "fingerprint": about.fingerprint,
        "modality": about.modality,
        "patients": about.patients,
        "splits": about.splits,
        "quarantined": about.quarantined,
    }


def _compute_scores(
    comparison: Comparison, evidence: Evidence, companions: list[Extractor], seed: int
) -> dict[str, Any]:
    found = score_features(evidence, seed) + score_images(evidence, seed)
    constant: dict[str, float] = {}
    for extractor in companions:
        found += score_features(gather_evidence(comparison, extractor), seed)
        constant |= extractor.measure_departures(comparison.matched_fakes)
    consistency = {
        name: {
            "test": _compute_accuracy(model, evidence.test, comparison.test.facts(), name),
            "synthetic": _compute_accuracy(model, evidence.fake, comparison.matched_fakes.facts(), name),
            "definition": "share of images whose label a logistic regression on features of training images predicts",
        }
        for name, model in evidence.label_classifiers.items()
    }
    return {
        "scores": [_dump_score(one) for one in found if isinstance(one, Score)],
        "not_computed": [one.model_dump() for one in found if isinstance(one, MissingScore)],
        "extractors": {
            one.name: {"sha256": one.digest, "words": one.description} for one in (evidence.extractor, *companions)
        },
        "handcrafted": {"constant_among_reals": constant} if companions else {},
        "label_consistency": consistency,
    }


def _compute_accuracy(model: Pipeline, rows: FeatureRows, facts: list[dict[str, str]], name: str) -> float | None:
    known = [i for i, fact in enumerate(facts) if name in fact]
    if not known:
        return None
    return round(float(np.mean(model.predict(rows[known]) == np.array([facts[i][name] for i in known]))), 4)


def _dump_score(score: Score) -> dict[str, Any]:
    return {**score.model_dump(), "excess": score.excess, "hidden_by_floor": score.is_hidden}


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


def _compute_embeddings(
    evidence: Evidence, models: dict[str, FeatureRows], seed: int
) -> tuple[dict[str, Any], list[MissingScore]]:
    """Compute points in a plane by side and model with the share of each within the ellipse of the held-out images,
    and list what was not computed."""
    sides = {"held-out": evidence.test, "training": evidence.floor, "synthetic": evidence.fake, **models}
    rows = np.concatenate(list(sides.values()))
    ends = np.cumsum([len(one) for one in sides.values()])[:-1]
    found: dict[str, Any] = {}
    planes = {"classical MDS": compute_classical_mds(rows)}
    if (why := find_obstacle_to_umap(len(rows))) is None:
        planes["UMAP"] = compute_umap(rows, seed)
    for name, plane in planes.items():
        if len(evidence.test) >= 3:
            points = dict(zip(sides, np.split(plane, ends), strict=True))
            inside = fit_ellipse(points["held-out"])
            found[name] = {
                "points": {side: one.tolist() for side, one in points.items()},
                "share_inside": {side: round(inside.compute_share_inside(one), 4) for side, one in points.items()},
            }
    return found, [] if why is None else [MissingScore(metric="UMAP", why=why)]


def _summarise_failures(quality: QualityScore) -> dict[str, Any]:
    best, worst = find_best_and_worst(quality, RANKED_IMAGES)
    return {
        "parts": list(quality.parts),
        "definition": "mean of the parts, each in deviations of validation images from their median and compressed"
        " below 10: distance to the 3rd nearest training image in features, largest deviation of an anatomical measure,"
        " the discriminator's score, and the score of classifiers that were trained on the other half of the samples",
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
    """Return the content of report.json, which is all content except the points of figures."""
    embedding = {name: {k: v for k, v in one.items() if k != "points"} for name, one in content["embedding"].items()}
    return {**content, "embedding": embedding}


def _write_audit_note(samples: Path, privacy: dict[str, Any], suspects: list[str], out: Path) -> None:
    """Write the result of the audit and the suspects into the folder of the samples, where `export` reads them."""
    word = {
        "samples_sha256": hash_samples(samples),
        "passed": privacy["passed"],
        "verdict": privacy["verdict"],
        "suspects": suspects,
        "passed_without_suspects": passes_without_suspects(privacy),
        "report": hashlib.sha256((out / "report.json").read_bytes()).hexdigest(),
    }
    write_json(samples / AUDIT_FILE, word)


def _read_json(path: Path) -> Any:
    return read_json(path) if path.exists() else None
