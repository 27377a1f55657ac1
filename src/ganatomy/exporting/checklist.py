"""The items of MI-CLAIM-GEN, the checklist for generative models in clinical research (Miao 2024), answered by a card.

The items are in our words (arXiv 2403.02558; the checklist is at github.com/BMiao10/MI-CLAIM-GEN). An answer is a fact
or number that exists; what belongs to a study, and what nobody has measured, is listed as open.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from ganatomy.exporting.scorecard import Answers

ITEMS = {  # name -> part of the checklist, item
    "clinical problem": ("study design", "For which clinical problem is the model meant?"),
    "research question": ("study design", "Which question does the study ask?"),
    "cohort selection": ("study design", "How were the cases chosen, so that others can choose them again?"),
    "labels": ("study design", "Where do the labels come from, and how reliable are they?"),
    "output": ("study design", "Is the output categorical, continuous or unstructured?"),
    "cohort": ("study design", "Who is in the cohort, and does it represent clinical practice?"),
    "components": ("resources", "Which models, base models and auxiliary models does it consist of?"),
    "data sources": ("resources", "Where do the data come from, and in which format?"),
    "preprocessing": ("resources", "How were the data processed?"),
    "independence": ("resources", "Are training, validation and test data of different patients?"),
    "baseline": ("evaluation", "With which other solution is it compared?"),
    "comparison": ("evaluation", "How do they compare, with which statistical certainty?"),
    "measures": ("evaluation", "Which evaluations were made, and why these?"),
    "readers": ("evaluation", "Have people judged the output, and how?"),
    "errors": ("examination", "What are its failures, and would they be seen?"),
    "risk": ("examination", "Which risks does the examination reveal?"),
    "bias, privacy and harm": ("examination", "What was done about bias, privacy, security and other harm?"),
    "shift": ("examination", "How does it do on other distributions?"),
    "after release": ("examination", "How is it to be watched after release?"),
    "code and data": ("reproducibility", "What is shared of code and data?"),
    "hyperparameters and compute": ("reproducibility", "Which settings, hardware and time does it take?"),
    "model card": ("reproducibility", "Is there a card of abilities, use, limits and risks?"),
    "weights": ("reproducibility", "Are the weights released, and on which terms?"),
}
OPEN = {
    "clinical problem": ("the clinical problem of a study that uses the model",),
    "research question": ("that of a study that uses the model",),
    "cohort selection": ("inclusion criteria, sites and dates",),
    "labels": ("who labelled, by which guideline, with which agreement",),
    "cohort": ("whether it represents clinical practice",),
    "data sources": ("origin of the training images beyond the licence",),
    "baseline": ("the best published solution on the same data (ganatomy benchmark compares recipes)",),
    "readers": ("a reading by radiologists (ganatomy evaluate --reader-study)",),
    "errors": ("failures that only a reader would see",),
    "bias, privacy and harm": (
        "groups of patients that the facts do not name",
        "recognition by somebody who knows them",
    ),
    "shift": ("other sites, scanners and populations",),
    "after release": ("a plan of the publisher",),
    "hyperparameters and compute": ("costs",),
    "code and data": ("whether the training data are shared",),
}


def make_checklist(card: Mapping[str, Any], report: Mapping[str, Any] | None) -> Answers:
    """What is known and what is open, by item.

    Args:
        card: the other parts of the card (`card.make_card`).
        report: `report.json` of an evaluation of the snapshot; None = there is none.
    """
    found = {
        **_describe_study(card),
        **_describe_resources(card, report),
        **_describe_evaluation(card, report),
        **_describe_examination(card, report),
        **_describe_reproducibility(card),
    }
    return {
        name: {
            "part": part,
            "question": question,
            "found": found.get(name, []),
            "open": list(OPEN.get(name, ())) or ([] if found.get(name) else ["not known"]),
        }
        for name, (part, question) in ITEMS.items()
    }


def _describe_study(card: Mapping[str, Any]) -> dict[str, list[str]]:
    images, data = card["images"], card["training"]["data"]
    facts = [*images["conditions"], *images["numbers"]]
    counts = [f"{name}: {', '.join(f'{k} {n}' for k, n in sorted(of.items()))}" for name, of in data["facts"].items()]
    return {
        "clinical problem": [card["intended_use"]],
        "cohort selection": [
            f"every usable {images['modality']} of a store: {data['cases']} images of {data['patients']} patients"
        ]
        if "cases" in data
        else [],
        "labels": [f"{', '.join(facts)}, as headers or table of the training set have them"] if facts else ["none"],
        "output": ["unstructured: images"],
        "cohort": [f"{data['patients']} patients", *counts] if "patients" in data else [],
    }


def _describe_resources(card: Mapping[str, Any], report: Mapping[str, Any] | None) -> dict[str, list[str]]:
    images, data, origin = card["images"], card["training"]["data"], card["ancestry"]
    extractors = [] if report is None else [f"features of its evaluation: {', '.join(report['extractors'])}"]
    spacing = images["spacing_mm"]
    size = " x ".join(map(str, images["shape"]))
    told = "of unknown spacing" if spacing is None else f"of {' x '.join(f'{mm:g}' for mm in spacing)} mm"
    begun = [f"began from other weights: {', '.join(sorted(origin))}"] if origin else ["trained from nothing"]
    return {
        "components": [f"{card['name']}: {', '.join(card['networks'])}", *begun, *extractors],
        "data sources": [f"licence: {card['licence']['training_data']}", f"fingerprint {data['fingerprint'][:16]}"],
        "preprocessing": [f"ganatomy prepare, {images['modality']}: a grid of {size} {told}"],
        "independence": ["divided by patient: " + ", ".join(f"{name} {n} images" for name, n in data["splits"].items())]
        if "splits" in data
        else [],
    }


def _describe_evaluation(card: Mapping[str, Any], report: Mapping[str, Any] | None) -> dict[str, list[str]]:
    metrics = card["metrics"]
    if metrics is None or report is None:
        return {}
    scores = metrics["scores"]
    floors = sum(row.get("floor") is not None for row in scores)
    certain = sum(row.get("low") is not None for row in scores)
    names = ", ".join(dict.fromkeys(row["metric"] for row in scores))
    verdicts = [f"{one['question']}: {one['answer']}. {one['reason']}" for one in report.get("verdicts", ())]
    return {
        "baseline": [f"real against real images, the floor of {floors} measures"],
        "comparison": [
            f"95 % intervals of {certain} of {len(scores)} measures by a jackknife over patients",
            *verdicts,
        ],
        "measures": [
            f"{names}; each with its definition in the report, as the field's papers use them",
            f"{metrics['images_a_side']} images a side, {metrics['patients']} held-out patients",
        ],
    }


def _describe_examination(card: Mapping[str, Any], report: Mapping[str, Any] | None) -> dict[str, list[str]]:
    audit = card["audit"]
    privacy = [audit["verdict"], *(["planted copies measure what the audit detects"] if audit["power"] else [])]
    harm = {"bias, privacy and harm": [*privacy, "samples are marked synthetic", "a loaded file cannot run code"]}
    if report is None:
        return {**harm, "risk": list(card["limits"])}
    worst = report.get("failures", {}).get("scores", [])
    errors = [f"{len(worst)} samples ranked by a score for artefacts, the worst shown in the report"] if worst else []
    labels = [
        f"{name}: found in {row['synthetic']:.0%} of synthetic and {row['test']:.0%} of held-out images"
        for name, row in report["label_consistency"].items()
        if row["synthetic"] is not None and row["test"] is not None
    ]
    return {
        "errors": [*errors, *labels],
        "risk": [*report.get("warnings", ()), *card["limits"]],
        **harm,
        "shift": ["held-out patients of another store"] if report["compared"]["real_split"] != "test" else [],
    }


def _describe_reproducibility(card: Mapping[str, Any]) -> dict[str, list[str]]:
    settings = ["all settings are in the recipe", f"{card['training']['kimg']:g} thousand images shown"]
    if told := card["computed_on"]:
        device = told.get("device", {})
        if name := device.get("gpu") or device.get("name"):
            settings.append(f"on {name}, processes: {told.get('processes', 1)}")
        packages = (f"{package} {number}" for package, number in told.get("packages", {}).items())
        settings.append(", ".join([told.get("system", "system not known"), f"Python {told.get('python')}", *packages]))
    return {
        "code and data": [f"ganatomy {version('ganatomy')}, Apache-2.0"],
        "hyperparameters and compute": settings,
        "model card": ["this card"],
        "weights": [f"sha256 {card['snapshot_sha256']}", f"licence: {card['licence']['weights']}"],
    }
