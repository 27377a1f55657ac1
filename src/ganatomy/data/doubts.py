"""Doubts about files that are used nevertheless: stored, counted, and shown with one example of each kind."""

from pathlib import Path
from typing import Any

from ganatomy.data.balance import count_groups, count_with_examples, format_example
from ganatomy.machine.durable import read_lines, write_lines

DOUBTS_FILE = "doubts.jsonl"


def write_doubts(out: Path, cases: list[dict[str, Any]]) -> dict[str, int]:
    """Remove the doubts from the rows of cases, write one row per doubt, and count them by kind."""
    rows = [
        {"file": case["file"], "doubt": doubt["kind"], "detail": doubt["detail"]}
        for case in cases
        for doubt in case.pop("doubts", [])
    ]
    write_lines(out / DOUBTS_FILE, rows)
    return count_groups(rows, "doubt")


def describe_doubts(store: Path) -> list[str]:
    """Describe the doubts of a store: a line of counts and one line per kind with an example; empty without doubts."""
    rows = read_lines(store / DOUBTS_FILE) if (store / DOUBTS_FILE).exists() else []
    groups = count_with_examples(rows, "doubt")
    if not groups:
        return []
    told = "; ".join(f"{group['rows']} x {kind}" for kind, group in groups.items())
    examples = [f"  {kind}: {format_example(group['first'])}" for kind, group in groups.items()]
    return [f"Used, but doubtful: {told}. See {DOUBTS_FILE}.", *examples]
