"""The account of a raw folder, kept with the store: how every path and every row of its table was used.

    quarantine.jsonl   file, reason, detail: files that were left out
    skipped.jsonl      file, rule: files that are not images by their names, or are listed elsewhere
    unmatched.jsonl    row, file: rows of the table of facts that match no candidate
    balance.json       counts by reason and by rule, with the first example of each, and how patients were identified

If no file could be used, these files are kept without a store. The counts add up to the number of paths.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ganatomy.machine.durable import read_json, write_json, write_lines
from ganatomy.machine.progress import format_name
from ganatomy.modalities.facts import FILE_COLUMN, FactTable
from ganatomy.modalities.folder import FolderListing
from ganatomy.modalities.modality import Candidate, Modality

BALANCE_FILE, QUARANTINE_FILE = "balance.json", "quarantine.jsonl"
SKIPPED_FILE, UNMATCHED_FILE = "skipped.jsonl", "unmatched.jsonl"
REPORT_FILES = (BALANCE_FILE, QUARANTINE_FILE, SKIPPED_FILE, UNMATCHED_FILE)
NOT_IN_TABLE, COPY = "not in the table of facts", "copy"
LONGEST_DETAIL = 200  # characters
EXAMPLE_CHARACTERS = 160  # largest length of an example's name and detail in a printed line

Row = dict[str, Any]


@dataclass
class PassedOver:
    """Paths and rows that were set aside before any file was read.

    Args:
        left_out, skipped: as in `FolderListing`; the row of a left-out series has its number of ``files``.
        unmatched: rows of the table that match no candidate.
        table: ``name``, ``rows``, ``used`` and unread columns of the table; empty without a table.
        unread_facts: facts that were named in the command but that the modality does not read.
        paths: number of paths below the folder.
    """

    left_out: list[Row] = field(default_factory=list)
    skipped: list[Row] = field(default_factory=list)
    unmatched: list[Row] = field(default_factory=list)
    table: Row = field(default_factory=dict)
    unread_facts: list[str] = field(default_factory=list)
    paths: int = 0

    def to_json(self) -> Row:
        return asdict(self)


def pass_over(
    listing: FolderListing, candidates: list[Candidate], table: FactTable, modality: Modality
) -> tuple[list[Candidate], PassedOver]:
    """Separate the candidates that are read from all paths that are set aside.

    If there is a table, a candidate without a row in it is left out.

    Args:
        listing: the listing of the raw folder.
        candidates: the candidates of that listing.
        table: the table that the modality's source of facts reads from the raw folder.
        modality: the modality, which determines the facts that are read.
    """
    assert sum(len(candidate.paths) for candidate in candidates) == len(listing.files), "a file is lost"
    known = {*modality.known_facts, FILE_COLUMN}
    aside = PassedOver([dict(row) for row in listing.left_out], [dict(row) for row in listing.skipped])
    aside.unread_facts = sorted({*modality.facts.columns, *modality.facts.constants} - known)
    aside.paths = listing.total_paths
    if not table.name:
        return list(candidates), aside
    kept, used = [], set()
    for candidate in candidates:
        if (key := table.find_key(candidate.name)) is not None:
            used.add(key)
            kept.append(candidate)
        else:
            detail = f"{table.name} has no row for it; add one to use it"
            aside.left_out.append(describe_left_out(candidate, NOT_IN_TABLE, detail))
    aside.unmatched = [{"row": row, "file": ""} for row in table.unnamed]
    aside.unmatched += [{"row": row, "file": key} for key in table.facts if key not in used for row in table.rows[key]]
    aside.unmatched.sort(key=lambda row: row["row"])
    aside.table = {
        "name": table.name,
        "rows": sum(map(len, table.rows.values())) + len(table.unnamed),
        "used": sum(len(table.rows[key]) for key in used),
        "unread_columns": [name for name in table.columns if name not in known],
    }
    return kept, aside


def describe_left_out(candidate: Candidate, reason: str, detail: str) -> Row:
    """Make the row of `quarantine.jsonl` for a candidate that is left out.

    Messages of libraries name a file by its whole path, which says where the user keeps patients; its name is enough.
    """
    for path in candidate.paths:
        detail = detail.replace(str(path), path.name).replace(f"{path.parent}/", "")
    detail = detail[:LONGEST_DETAIL]
    row: Row = {"file": candidate.name, "reason": reason, "detail": detail}
    return row if len(candidate.paths) == 1 else {**row, "files": len(candidate.paths)}


def make_balance(cases: int, files_used: int, left_out: list[Row], aside: PassedOver, persons: Row) -> Row:
    """Make the counts of a finished store.

    Args:
        cases: number of images in the store.
        files_used: number of files from which they were read.
        left_out: rows of all files that are left out, including those that were set aside before reading.
        aside: the paths and rows that were set aside before reading.
        persons: the result of `data.persons.name_patients`; empty if there is no case.
    """
    lost = sum(row.get("files", 1) for row in left_out)
    assert files_used + lost + len(aside.skipped) == aside.paths, "a path is in none of the lists, or in two"
    return {
        "paths": aside.paths,
        "used": files_used,
        "left_out": lost,
        "skipped": len(aside.skipped),
        "cases": cases,
        "reasons": count_with_examples(left_out, "reason"),
        "rules": count_with_examples(aside.skipped, "rule"),
        "table": _count_table(aside),
        "unread_facts": aside.unread_facts,
        "persons": persons,
    }


def write_balance(folder: Path, balance: Row, left_out: list[Row], aside: PassedOver) -> None:
    """Write the four files; the counts are written last."""
    write_lines(folder / QUARANTINE_FILE, left_out)
    write_lines(folder / SKIPPED_FILE, aside.skipped)
    write_lines(folder / UNMATCHED_FILE, aside.unmatched)
    write_json(folder / BALANCE_FILE, balance)


def read_balance(folder: Path) -> Row | None:
    """Read the counts of a store; None for a store of an earlier version, which has none.

    Raises:
        Refused: the file is damaged.
    """
    return read_json(folder / BALANCE_FILE) if (folder / BALANCE_FILE).exists() else None


def describe_passed_over(aside: PassedOver) -> Iterator[str]:
    """Describe, in lines for the user, what was set aside before any file was read."""
    yield f"{aside.paths} paths below the raw folder"
    yield from _describe_groups("left out", count_with_examples(aside.left_out, "reason"), "")
    yield from _describe_groups("skipped", count_with_examples(aside.skipped, "rule"), "")
    yield from describe_facts(aside)


def describe_facts(aside: PassedOver) -> Iterator[str]:
    """Describe, in lines for the user, the rows of a table and the columns that are not read."""
    yield from _describe_facts(_count_table(aside), aside.unread_facts)


def describe_balance(balance: Mapping[str, Any]) -> Iterator[str]:
    """Describe the counts of a store in lines for the user."""
    yield (
        f"{balance['paths']} paths below the raw folder: {balance['used']} used in {balance['cases']} images,"
        f" {balance['left_out']} left out, {balance['skipped']} skipped"
    )
    yield from _describe_groups("left out", balance["reasons"], QUARANTINE_FILE)
    yield from _describe_groups("skipped", balance["rules"], SKIPPED_FILE)
    yield from _describe_facts(balance["table"], balance["unread_facts"])
    if persons := balance["persons"]:
        each = persons["images_each"]
        sources = ", ".join(f"{name} ({count} images)" for name, count in persons["told_by"].items())
        yield (
            f"{persons['patients']} patients, identified by {sources}; {each['least']} to {each['most']} images each,"
            f" median {each['median']:g}"
        )
        yield from persons["warnings"]


def count_groups(rows: Iterable[Mapping[str, Any]], key: str) -> dict[str, int]:
    """Count the rows of each reason or rule, the most frequent first."""
    return dict(Counter(row[key] for row in rows).most_common())


def format_example(row: Mapping[str, Any]) -> str:
    """Format a file and what is wrong with it, short enough for a line."""
    detail = f": {row['detail']}" if row.get("detail") else ""
    text = format_name(f"{row['file']}{detail}")
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 3] + "..."


def count_with_examples(rows: list[Row], key: str) -> dict[str, Row]:
    """Count like `count_groups`; each group has its number of ``rows`` and its ``first`` row."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row[key], row)
    return {name: {"rows": count, "first": first[name]} for name, count in count_groups(rows, key).items()}


def _describe_groups(word: str, groups: Mapping[str, Row], file: str) -> Iterator[str]:
    for name, group in groups.items():
        yield f"  {word}: {group['rows']} x {name}, such as {format_example(group['first'])}"
    if groups and file:
        yield f"  all of them: {file}"


def _count_table(aside: PassedOver) -> Row:
    """Make the entry of `balance.json` about the table; it is empty without a table."""
    if not aside.table:
        return {}
    return {**aside.table, "unmatched": len(aside.unmatched), "first_unmatched": aside.unmatched[:1]}


def _describe_facts(table: Mapping[str, Any], unread_facts: list[str]) -> Iterator[str]:
    if table:
        yield from _describe_table(table)
    if unread_facts:
        yield f"  named in the command and not read: {', '.join(unread_facts)}"


def _describe_table(table: Mapping[str, Any]) -> Iterator[str]:
    lost = table["unmatched"]
    said = f"{table['name']}: {table['rows']} rows, {table['used']} used, {lost} unmatched"
    if lost:
        first = table["first_unmatched"][0]
        named = f"names {format_name(first['file'])}" if first["file"] else "names no file"
        said += f" (row {first['row']} {named}, which is not a candidate; all of them: {UNMATCHED_FILE})"
    yield said
    if unread := table["unread_columns"]:
        yield f"  columns that are not read: {', '.join(unread)}; --column NAME=COLUMN reads a column as the fact NAME"
