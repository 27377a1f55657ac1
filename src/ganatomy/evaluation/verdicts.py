"""The four verdicts of a report: likeness, variety, copies, and the sensitivity of the comparison."""

from typing import Any, Literal

from ganatomy.config import Config
from ganatomy.evaluation.privacy.copying import MIN_POWER

Answer = Literal["good", "poor", "cannot tell"]

LEVEL = 0.05  # probability that one verdict rejects a set without faults
MIN_PATIENTS = 20  # with fewer held-out patients, only gross faults can be detected
TELLING_WIDTH = 0.15  # with a larger half-width of the learned test's interval, only gross faults can be detected
STRONG_AUC = 0.75  # least AUC of a single measure that is named
LIKE_ENOUGH = 0.7  # likeness is good if the upper end of the learned test's interval is at most this
VARIED_ENOUGH = 90.0  # % of the variety of held-out images that the upper end of the interval has to reach


class Verdict(Config):
    """The answer to one question.

    Args:
        question: likeness, variety, copies, or ability (sensitivity of the comparison).
        answer: ``good``, ``poor`` or ``cannot tell``.
        reason: the measures on which the answer is based, in one or more sentences.
    """

    question: Literal["likeness", "variety", "copies", "ability"]
    answer: Answer
    reason: str


def judge_report(content: dict[str, Any]) -> list[Verdict]:
    """Judge the content of a report (`report.json`)."""
    return [
        _judge_likeness(content),
        _judge_variety(content),
        _judge_copies(content["privacy"]),
        _judge_ability(content),
    ]


def list_warnings(content: dict[str, Any]) -> list[str]:
    """List the warnings at the top of a report: evident faults of the set, and measures that separate it alone."""
    strong = list_strong_separations(content)
    told = [
        f"A single measure distinguishes synthetic from held-out images: {row['measure']} is {row['direction']} in"
        f" {100 * row['auc']:.0f} % of pairs (median {row['synthetic']:.4g} against {row['held_out']:.4g})."
        for row in strong[:1]
    ]
    if more := [f"{row['measure']} (AUC {row['auc']:.2f})" for row in strong[1:6]]:
        told.append(f"Others are: {', '.join(more)}" + (f" and {len(strong) - 6} more." if len(strong) > 6 else "."))
    return [*content["set_faults"], *told]


def list_strong_separations(content: dict[str, Any]) -> list[dict[str, Any]]:
    """List the measures that separate the sides significantly and strongly, the strongest first."""
    return [row for row in content["separations"] if row["p"] <= LEVEL and row["auc"] >= STRONG_AUC]


def _judge_likeness(content: dict[str, Any]) -> Verdict:
    learned, strong = content["learned"], list_strong_separations(content)
    plain = " ".join(content["set_faults"])
    by = f"The most different measures are: {', '.join(row['measure'] for row in strong[:3])}." if strong else ""
    if "why" in learned:
        answer: Answer = "poor" if strong or plain else "cannot tell"
        reason = f"The learned test was not made. It {learned['why']}. {plain} {by}"
        return Verdict(question="likeness", answer=answer, reason=" ".join(reason.split()))
    areas = ", ".join(f"{row['auc']:.2f} {describe_view(row['view'])}" for row in reversed(learned["views"]))
    if learned["p"] <= LEVEL or strong or plain:
        reason = f"A small network distinguishes synthetic from held-out images with an AUC of {areas} (0.5 = chance)."
        return Verdict(question="likeness", answer="poor", reason=" ".join(f"{plain} {reason} {by}".split()))
    highest = max(row["high"] for row in learned["views"])
    reason = f"A small network cannot distinguish the images: AUC {areas}; intervals reach {highest:.2f}"
    if highest > LIKE_ENOUGH:
        reason += f", so with {learned['patients']} patients a difference of that size would not be detected"
        return Verdict(question="likeness", answer="cannot tell", reason=f"{reason}.")
    return Verdict(question="likeness", answer="good", reason=f"{reason}.")


def describe_view(view: str) -> str:
    """Describe a view in words, as in "AUC 0.9 at a quarter"."""
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
        return Verdict(question="variety", answer="cannot tell", reason=f"{told} The interval is too wide to decide.")
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
        reason = f"{told}: {known}, so only gross faults can be detected. Hold out at least {MIN_PATIENTS} patients."
        return Verdict(question="ability", answer="poor", reason=reason)
    return Verdict(question="ability", answer="good", reason=f"{told}: {known}.")
