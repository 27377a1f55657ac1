"""Doubts about files that are used all the same: kept with the store, counted, told with an example of each kind."""

from pathlib import Path
from typing import Any

from ganatomy.data.balance import count_groups, count_with_examples, format_example
from ganatomy.machine.durable import read_lines, write_lines

DOUBTS_FILE = "doubts.jsonl"


def write_doubts(out: Path, cases: list[dict[str, Any]]) -> dict[str, int]:
    """Take the doubts out of the rows of cases, write one row a doubt, and count them by kind."""
    rows = [
        {"file": case["file"], "doubt": doubt["kind"], "detail": doubt["detail"]}
        for case in cases
        for doubt in case.pop("doubts", [])
    ]
    write_lines(out / DOUBTS_FILE, rows)
    return count_groups(rows, "doubt")


def describe_doubts(store: Path) -> list[str]:
    """A line that counts the doubts of a store and one with the first example of each kind; none when there is none."""
    rows = read_lines(store / DOUBTS_FILE) if (store / DOUBTS_FILE).exists() else []
    groups = count_with_examples(rows, "doubt")
    if not groups:
        return []
    told = "; ".join(f"{group['rows']} x {kind}" for kind, group in groups.items())
    examples = [f"  {kind}: {format_example(group['first'])}" for kind, group in groups.items()]
    return [f"Used, but doubtful: {told}. See {DOUBTS_FILE}.", *examples]
