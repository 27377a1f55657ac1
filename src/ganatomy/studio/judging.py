"""What is judged: the verdicts and scores of a report, and the readers of a reader study."""

from typing import Any

from ganatomy.evaluation.report.page import QUESTIONS
from ganatomy.library.report import Report

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def describe_report(report: Report) -> dict[str, Any]:
    """Describe a report for its page: each question with its answer, and each score with floor and interval."""
    verdicts = [
        {"question": QUESTIONS[one["question"]], "answer": one["answer"], "reason": one["reason"]}
        for one in report.content.get("verdicts", [])
    ]
    names = ("metric", "extractor", "value", "floor", "low", "high", "better", "definition")
    scores = [{name: row.get(name) for name in names} for row in report.scores]
    images = report.content.get("images", {})
    return {
        "generator": images.get("generator", ""),
        "warnings": list(report.content.get("warnings", [])),
        "shows_patients": bool(report.content["compared"].get("shows_patients", True)),
        "verdicts": verdicts,
        "scores": scores,
        "has_page": report.page.is_file(),
    }
