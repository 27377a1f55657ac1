"""Doubts about files that are used nevertheless: stored, counted, and shown with one example of each kind."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ganatomy.data.balance import count_groups, count_with_examples, format_example
from ganatomy.machine.durable import read_lines, write_lines

DOUBTS_FILE = "doubts.jsonl"


def describe_doubtful(file: str, doubts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make one row per doubt about a file."""
    return [{"file": file, "doubt": doubt["kind"], "detail": doubt["detail"]} for doubt in doubts]


def write_doubts(out: Path, rows: list[dict[str, Any]], names: Collection[str] | None) -> dict[str, int]:
    """Write the rows of doubts about new cases below those of the store before it grew, and count all by kind.

    Args:
        out: folder of the store.
        rows: from `describe_doubtful`.
        names: the files that were read this time; what an interrupted command wrote about them is replaced. None = the
            store is new.
    """
    file = out / DOUBTS_FILE
    if names is not None and file.exists():
        rows = [*(row for row in read_lines(file) if row["file"] not in names), *rows]
    write_lines(file, rows)
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
