"""Doubts about files that are used all the same: kept with the store, counted, told with an example of each kind."""

from collections import Counter
from pathlib import Path
from typing import Any

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
    return dict(Counter(row["doubt"] for row in rows).most_common())


def describe_doubts(store: Path) -> list[str]:
    """A line that counts the doubts of a store and one with the first example of each kind; none when there is none."""
    rows = read_lines(store / DOUBTS_FILE) if (store / DOUBTS_FILE).exists() else []
    counts = Counter(row["doubt"] for row in rows)
    if not counts:
        return []
    first = {row["doubt"]: row for row in reversed(rows)}
    told = "; ".join(f"{count} x {kind}" for kind, count in counts.most_common())
    examples = [f"  {kind}: {first[kind]['file']}: {first[kind]['detail']}" for kind, _ in counts.most_common()]
    return [f"Used, but doubtful: {told}. See {DOUBTS_FILE}.", *examples]
