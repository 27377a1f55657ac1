"""Model cards: what a reader has to know of a model before it is used, as a value, as JSON and as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganatomy.checkpoint import Snapshot
from ganatomy.data.numbers import MAX_CLASSES, is_number
from ganatomy.exporting.checklist import make_checklist
from ganatomy.exporting.scorecard import Answers, make_scorecard, render_scorecard
from ganatomy.pyramid import format_shape

INTENDED_USE = (
    "Research on synthetic images: methods, teaching, tests of software. Not for diagnosis, and not as evidence about"
    " patients. Samples are synthetic and must stay marked so."
)
NOT_STATED = "not stated"
SCORECARD_NOTE = (
    "The names are those of the FDA's scorecard for synthetic data (Zamzmi 2025), the questions our reading."
)
CHECKLIST_NOTE = "The items of MI-CLAIM-GEN (Miao 2024) in our words; what belongs to a study is open."
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
    images, training = card["images"], card["training"]
    data = training["data"]
    lines = [
        f"# {card['name']}, {images['modality']}, {format_shape(tuple(images['shape']))}",
        "",
        f"*Synthetic images only. Weights `{card['snapshot_sha256'][:16]}`, networks: {', '.join(card['networks'])}.*",
        *_section("Intended use", [card["intended_use"]]),
        *_section(
            "Licence", [f"Weights: {card['licence']['weights']}. Training data: {card['licence']['training_data']}."]
        ),
        *_section("Training data", _describe_data(data)),
        *_section("Training", [f"{training['kimg']:g} thousand images shown.", *_describe_ancestry(card["ancestry"])]),
        *_section("Conditions", _describe_conditions(images)),
        *_section("Measures", _describe_metrics(card["metrics"])),
        *_section("Privacy audit", _describe_audit(card["audit"])),
        *_section("Seven questions", [SCORECARD_NOTE, "", *render_scorecard(card["scorecard"])]),
        *_section("Checklist for clinical research", [CHECKLIST_NOTE, *_render_checklist(card["checklist"])]),
        *_section("Limits", [f"- {limit}" for limit in card["limits"]]),
    ]
    return "\n".join(lines) + "\n"


def _render_checklist(answers: Answers) -> list[str]:
    """The items of the checklist under the names of their parts."""
    lines = []
    for part in dict.fromkeys(answer["part"] for answer in answers.values()):
        mine = {name: answer for name, answer in answers.items() if answer["part"] == part}
        lines += ["", f"### {part.capitalize()}", "", *render_scorecard(mine)]
    return lines


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _describe_data(data: Mapping[str, Any]) -> list[str]:
    if "cases" not in data:
        return [f"Not known to ganatomy (fingerprint: {data.get('fingerprint', NOT_STATED)})."]
    splits = ", ".join(f"{name} {count}" for name, count in data["splits"].items())
    facts = [
        f"- {name}: {', '.join(f'{value} {count}' for value, count in sorted(counts.items()))}"
        for name, counts in data["facts"].items()
    ]
    return [
        f"{data['cases']} images of {data['patients']} patients ({splits}); fingerprint `{data['fingerprint'][:16]}`.",
        *facts,
        *(f"- {name}: a number" for name in data["numbers"]),
        *(f"- {name}: more than {MAX_CLASSES} values" for name in data["many_valued"]),
    ]


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


def _describe_conditions(images: Mapping[str, Any]) -> list[str]:
    classes = [f"- {name}: {', '.join(values)}" for name, values in images["conditions"].items()]
    numbers = [
        f"- {name}: a number, about {scale['low']:g} to {scale['high']:g}" for name, scale in images["numbers"].items()
    ]
    return [*classes, *numbers] or ["None."]


def _describe_audit(audit: Mapping[str, Any]) -> list[str]:
    head = {None: "", True: "Passed. ", False: "FAILED. "}[audit["passed"]] + audit["verdict"]
    power = [
        f"- {row['copies']} planted copies among {row['of']} images: detected in {row['detected']:.0%} of trials"
        for row in audit["power"]
    ]
    return [head, *(["", *power] if power else [])]


def _describe_metrics(metrics: Mapping[str, Any] | None) -> list[str]:
    if metrics is None:
        return ["None were given."]
    lines = [
        f"{metrics['images_a_side']} images a side, {metrics['patients']} held-out patients ({metrics['held_out']}).",
        "",
        "| measure | value | 95 % interval | floor: real against real |",
        "|---|---|---|---|",
    ]
    for row in metrics["scores"]:
        name = row["metric"] + (f" ({row['extractor']})" if row.get("extractor") else "")
        value, low, high, floor = (_format(row.get(key)) for key in ("value", "low", "high", "floor"))
        lines.append(f"| {name} | {value} | {low} to {high} | {floor} |")
    return lines


def _format(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else "-"
