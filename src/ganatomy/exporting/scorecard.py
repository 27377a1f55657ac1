"""The seven questions of the FDA's scorecard for synthetic medical data (Zamzmi 2025), answered from a report.

Congruence, coverage, constraint, completeness, compliance, comprehension and consistency; the question that stands
behind each name is our reading of it. An answer is a number or a fact that exists; what nobody has measured is listed
as open.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ganatomy.checkpoint import Snapshot

QUESTIONS = {
    "congruence": "How near are the synthetic images to real ones?",
    "coverage": "How much of the variety of real images do they show?",
    "constraint": "Do they keep within what anatomy allows?",
    "completeness": "Is what a user needs recorded with each image?",
    "compliance": "Do they protect the persons in the training set, and are they marked?",
    "comprehension": "Is it told how each number was measured, and what could not be?",
    "consistency": "Do they show what was asked for, every time?",
}
CONGRUENCE = ("SWD x 1000", "Frechet distance", "KID", "MMD", "classifier AUC")
COVERAGE = ("recall", "coverage", "density", "Vendi score", "MS-SSIM of pairs")
ALWAYS_OPEN = {
    "congruence": ("a reading by radiologists",),
    "coverage": ("groups of patients that the facts do not name", "rare findings"),
    "constraint": ("anatomy beyond the measures above",),
    "compliance": ("legal basis and consent of the training set", "recognition by somebody who knows the person"),
    "consistency": ("other sites and scanners",),
}

Answers = dict[str, dict[str, Any]]


def make_scorecard(
    snapshot: Snapshot, report: Mapping[str, Any] | None, scores: Sequence[Mapping[str, Any]], audit: Mapping[str, Any]
) -> Answers:
    """What is known and what is open, by question.

    Args:
        snapshot: the model.
        report: `report.json` of its evaluation; None = there is none.
        scores: the measures of the card.
        audit: its verdict, as the card has it.
    """
    found: dict[str, list[str]] = {
        "congruence": _list_scores(scores, CONGRUENCE),
        "coverage": _list_scores(scores, COVERAGE),
        "constraint": [] if report is None else _list_measures(report),
        "completeness": _list_records(snapshot),
        "compliance": [
            *([] if audit["passed"] is None else [audit["verdict"]]),
            "every DICOM file is marked synthetic",
        ],
        "comprehension": [] if report is None else _list_definitions(report),
        "consistency": ["image i of a seed is always the same", *([] if report is None else _list_labels(report))],
    }
    nothing = {name: () if told else ("not measured",) for name, told in found.items()}
    unaudited = ("a privacy audit",) if audit["passed"] is None else ()
    return {
        name: {
            "question": question,
            "found": found[name],
            "open": [*nothing[name], *(unaudited if name == "compliance" else ()), *ALWAYS_OPEN.get(name, ())],
        }
        for name, question in QUESTIONS.items()
    }


def _list_scores(scores: Sequence[Mapping[str, Any]], names: tuple[str, ...]) -> list[str]:
    """The scores of these metrics beside their floors."""
    return [
        f"{row['metric']}{f' ({source})' if (source := row.get('extractor')) else ''} {row['value']:.4g}"
        + ("" if row.get("floor") is None else f", real against real {row['floor']:.4g}")
        for row in scores
        if row["metric"] in names and row.get("value") is not None
    ]


def _list_measures(report: Mapping[str, Any]) -> list[str]:
    """Medians of the measures of the anatomy on both sides, and how far their ranges overlap."""
    words = []
    for name, sides in report["measures"].items():
        told, real = sides["synthetic"], sides["test"]
        overlap = sides.get("synthetic_against_test", {}).get("overlap")
        if told["n"] and real["n"] and overlap is not None:
            words.append(f"{name}: {told['median']:g}, real {real['median']:g}, overlap {overlap:g}")
    return words


def _list_records(snapshot: Snapshot) -> list[str]:
    facts = ", ".join(snapshot.recipe.condition_space.names)
    spacing = "no spacing" if snapshot.spacing is None else "spacing"
    return [f"every sample has the hash of the model, seed, number, {spacing}{f', {facts}' if facts else ''}"]


def _list_definitions(report: Mapping[str, Any]) -> list[str]:
    missing = sorted({row["metric"] for row in report["not_computed"]})
    words = [f"{len(report['scores'])} scores with features, counts, definition, floor and interval in the report"]
    return words + ([f"not computed for want of images or weights: {', '.join(missing)}"] if missing else [])


def _list_labels(report: Mapping[str, Any]) -> list[str]:
    """How often a classifier of real images finds the fact that was asked for."""
    return [
        f"{name}: found in {row['synthetic']:.0%} of synthetic and {row['test']:.0%} of held-out images"
        for name, row in report["label_consistency"].items()
        if row["synthetic"] is not None and row["test"] is not None
    ]
