"""The four verdicts of a report: likeness, variety, copies, and whether the comparison is able to tell."""

from typing import Any, Literal

from ganatomy.config import Config
from ganatomy.evaluation.privacy.copying import MIN_POWER

Answer = Literal["good", "poor", "cannot tell"]

LEVEL = 0.05  # chance of accusing a set that has no fault, by one verdict
MIN_PATIENTS = 20  # held-out patients below which only gross faults can be seen
TELLING_WIDTH = 0.15  # half the interval of the learned test above which only gross faults can be seen
STRONG_AUC = 0.75  # of a single measure, from which on it is named
LIKE_ENOUGH = 0.7  # upper end of the learned test's interval up to which likeness is good
VARIED_ENOUGH = 90.0  # % of the variety of held-out images that the interval has to reach


class Verdict(Config):
    """An answer to one question.

    Args:
        question: likeness, variety, copies, or ability.
        answer: ``good``, ``poor`` or ``cannot tell``.
        reason: the figures behind it, one sentence or more.
    """

    question: Literal["likeness", "variety", "copies", "ability"]
    answer: Answer
    reason: str


def judge_report(content: dict[str, Any]) -> list[Verdict]:
    """The verdicts of what a report holds (`report.json`)."""
    return [
        _judge_likeness(content),
        _judge_variety(content),
        _judge_copies(content["privacy"]),
        _judge_ability(content),
    ]


def list_warnings(content: dict[str, Any]) -> list[str]:
    """What is said in red above everything: faults of the set that are plain, and measures that alone tell it apart."""
    strong = list_strong_separations(content)
    told = [
        f"One number alone tells synthetic from held-out images: {row['measure']} is {row['direction']} in"
        f" {100 * row['auc']:.0f} % of pairs (median {row['synthetic']:.4g} against {row['held_out']:.4g})."
        for row in strong[:1]
    ]
    if more := [f"{row['measure']} (AUC {row['auc']:.2f})" for row in strong[1:6]]:
        told.append(f"So do: {', '.join(more)}" + (f" and {len(strong) - 6} more." if len(strong) > 6 else "."))
    return [*content["set_faults"], *told]


def list_strong_separations(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Measures that separate the sides by more than chance and by much, the strongest first."""
    return [row for row in content["separations"] if row["p"] <= LEVEL and row["auc"] >= STRONG_AUC]


def _judge_likeness(content: dict[str, Any]) -> Verdict:
    learned, strong = content["learned"], list_strong_separations(content)
    plain = " ".join(content["set_faults"])
    by = f"The measures that tell most: {', '.join(row['measure'] for row in strong[:3])}." if strong else ""
    if "why" in learned:
        answer: Answer = "poor" if strong or plain else "cannot tell"
        reason = f"The learned test was not made: it {learned['why']}. {plain} {by}"
        return Verdict(question="likeness", answer=answer, reason=" ".join(reason.split()))
    areas = ", ".join(f"{row['auc']:.2f} {describe_view(row['view'])}" for row in reversed(learned["views"]))
    if learned["p"] <= LEVEL or strong or plain:
        reason = f"A small network tells synthetic from held-out images with an AUC of {areas} (0.5 = not at all)."
        return Verdict(question="likeness", answer="poor", reason=" ".join(f"{plain} {reason} {by}".split()))
    highest = max(row["high"] for row in learned["views"])
    reason = f"A small network cannot tell synthetic from held-out images: AUC {areas}; intervals reach {highest:.2f}"
    if highest > LIKE_ENOUGH:
        reason += f", so that with {learned['patients']} patients a difference of that size would not be seen"
        return Verdict(question="likeness", answer="cannot tell", reason=f"{reason}.")
    return Verdict(question="likeness", answer="good", reason=f"{reason}.")


def describe_view(view: str) -> str:
    """A view in words, as in "AUC 0.9 at a quarter"."""
    return {"full": "in full", "patches": "on patches"}.get(view, f"at {view}")


def _judge_variety(content: dict[str, Any]) -> Verdict:
    row = next((row for row in content["scores"] if row["metric"] == "variety (% of reals)"), None)
    if row is None or row["low"] is None:
        return Verdict(question="variety", answer="cannot tell", reason="There are too few images to measure variety.")
    told = (
        f"Synthetic images are {row['value']:.0f} % as far from one another as held-out images of different patients"
        f" (95 % interval {row['low']:.0f} to {row['high']:.0f} %)."
    )
    if row["high"] < VARIED_ENOUGH:
        return Verdict(question="variety", answer="poor", reason=told)
    if row["low"] < VARIED_ENOUGH and row["high"] - row["low"] > 2 * (100 - VARIED_ENOUGH):
        return Verdict(question="variety", answer="cannot tell", reason=f"{told} The interval is too wide to tell.")
    return Verdict(question="variety", answer="good", reason=told)


def _judge_copies(privacy: dict[str, Any]) -> Verdict:
    able = privacy["power"][0]["detected"] >= MIN_POWER
    answer: Answer = "poor" if not privacy["passed"] else "good" if able else "cannot tell"
    return Verdict(question="copies", answer=answer, reason=privacy["verdict"])


def _judge_ability(content: dict[str, Any]) -> Verdict:
    compared, learned = content["compared"], content["learned"]
    told = f"{compared['patients']} held-out patients and {compared['validation_images']} validation images"
    if "why" in learned:
        return Verdict(question="ability", answer="poor", reason=f"{told}: the learned test {learned['why']}.")
    width = (learned["chance_interval"][1] - learned["chance_interval"][0]) / 2
    known = f"by chance the learned test's AUC lies within 0.5 +- {width:.2f}"
    if compared["patients"] < MIN_PATIENTS or width > TELLING_WIDTH:
        reason = f"{told}: {known}, so that only gross faults can be seen. Hold out at least {MIN_PATIENTS} patients."
        return Verdict(question="ability", answer="poor", reason=reason)
    return Verdict(question="ability", answer="good", reason=f"{told}: {known}.")
