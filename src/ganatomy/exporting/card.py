"""Model cards: what a reader has to know of a model before it is used, as a value, as JSON and as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganatomy.checkpoint import Snapshot
from ganatomy.data.numbers import MAX_CLASSES, is_number
from ganatomy.exporting.checklist import make_checklist
from ganatomy.exporting.scorecard import Answers, make_scorecard
from ganatomy.machine.templates import render_template
from ganatomy.pyramid import format_shape

INTENDED_USE = (
    "Research on synthetic images: methods, teaching, tests of software. Not for diagnosis, and not as evidence about"
    " patients. Samples are synthetic and must stay marked so."
)
NOT_STATED = "not stated"
LIMITS = (
    "What the training images do not show, the model cannot show; rare findings may be missing or wrong.",
    "Images may resemble training images. The audit is a screening test with a measured sensitivity, not a proof.",
    "The measures compare with held-out patients of the same source; other scanners and populations were not tested.",
)
TRAINED_ON = (
    "fingerprint",
    "modality",
    "cases",
    "patients",
    "splits",
    "facts",
    "numbers",
    "many_valued",
)  # what a card may tell of it


@dataclass(frozen=True)
class Audit:
    """The privacy audit of a snapshot, as a report tells it.

    Args:
        passed: None where there was none.
        verdict: a sentence.
        power: how often planted copies are detected, by their number among so many images.
    """

    passed: bool | None
    verdict: str
    power: tuple[Mapping[str, Any], ...] = ()


NO_AUDIT = Audit(None, "No privacy audit was made of this model: whether it repeats training images is not known.")


def select_training_facts(snapshot: Snapshot) -> dict[str, Any]:
    """What may be handed on of a training set: its hash, counts and classes.

    Of a number, and of what has so many values that they may be those of single persons, it is the name alone.
    """
    told = {name: snapshot.trained_on[name] for name in TRAINED_ON if name in snapshot.trained_on}
    facts, recipe = told.get("facts", {}), snapshot.recipe
    numbers = {*told.get("numbers", ()), *recipe.numbers, *(name for name in facts if is_number(facts[name]))}
    many = {name for name, counts in facts.items() if len(counts) > MAX_CLASSES and name not in recipe.conditions}
    many = (many | set(told.get("many_valued", ()))) - numbers
    kept = {name: counts for name, counts in facts.items() if name not in numbers | many}
    return told | {"facts": kept, "numbers": sorted(numbers), "many_valued": sorted(many)}


def make_card(
    snapshot: Snapshot,
    roles: tuple[str, ...],
    audit: Audit,
    report: Mapping[str, Any] | None,
    weights_licence: str,
    data_licence: str,
    computed_on: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The card of a snapshot.

    Args:
        snapshot: the model.
        roles: the networks that are handed on.
        audit: what is known of copies.
        report: `report.json` of an evaluation of this snapshot; None = there is none.
        weights_licence, data_licence: as the publisher states them.
        computed_on: device and versions of its training; None = not known.
    """
    recipe = snapshot.recipe
    metrics = None if report is None else _select_metrics(report)
    told = {"passed": audit.passed, "verdict": audit.verdict, "power": [dict(row) for row in audit.power]}
    card = {
        "name": recipe.name,
        "snapshot_sha256": snapshot.digest,
        "intended_use": INTENDED_USE,
        "licence": {"weights": weights_licence, "training_data": data_licence},
        "images": {
            "modality": snapshot.modality,
            "shape": list(snapshot.scope.regions[0].shape),
            "spacing_mm": None if snapshot.spacing is None else list(snapshot.spacing),
            "conditions": {name: list(values) for name, values in recipe.conditions.items()},
            "numbers": {name: scale.model_dump() for name, scale in recipe.numbers.items()},
        },
        "networks": list(roles),
        "training": {"kimg": snapshot.images / 1000, "data": select_training_facts(snapshot)},
        "ancestry": snapshot.origin,
        "metrics": metrics,
        "audit": told,
        "scorecard": make_scorecard(snapshot, report, [] if metrics is None else metrics["scores"], told),
        "limits": list(LIMITS),
        "computed_on": None if computed_on is None else dict(computed_on),
    }
    return card | {"checklist": make_checklist(card, report)}


def _select_metrics(report: Mapping[str, Any]) -> dict[str, Any]:
    """The measures of a report with their floors and intervals; nothing about single images or patients."""
    swd = report["swd"]
    rows = [{"metric": "SWD x 1000", "value": swd["fake"]["average"], "floor": swd["real_floor"]["average"]}]
    rows[0] |= {"low": swd["low"], "high": swd["high"], "definition": swd["protocol"]}
    names = ("metric", "extractor", "value", "floor", "low", "high")
    return {
        "images_a_side": report["compared"]["images_a_side"],
        "patients": report["compared"]["patients"],
        "held_out": report["compared"]["real_split"],
        "scores": rows + [{name: row.get(name) for name in names} for row in report["scores"]],
    }


def render_card(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    parts: dict[str, Answers] = {}
    for name, answer in card["checklist"].items():
        parts.setdefault(answer["part"], {})[name] = answer
    return render_template(
        "model_card.md",
        card=card,
        parts=parts,
        shape=format_shape(tuple(card["images"]["shape"])),
        ancestry=_describe_ancestry(card["ancestry"]),
        max_classes=MAX_CLASSES,
    )


def _describe_ancestry(origin: Mapping[str, Any]) -> list[str]:
    """A line for each model whose weights this one began with, the nearest first."""
    lines = []
    while origin:
        if (read := origin.get("imported")) is not None:
            lines.append(f"Its weights were imported in the layout of {read['layout']}.")
        origin = origin.get("began_from") or {}
        if origin:
            lines.append(
                f"It began from {origin['recipe']} `{origin['snapshot_sha256'][:16]}` ({origin['kimg']:g} kimg,"
                f" training set {origin['trained_on'][:16]})."
            )
    return lines
