"""What `prepare` keeps for the next time: the files that a store was made from, and the sources of its patients.

``prepared.safetensors`` has two tables. Each column that begins with ``candidate.`` has one entry per candidate of the
raw folder: name, number of files, and hashes of their names and sizes, dates, facts and bytes; all hashes but the last
are made with the key of pseudonyms. ``candidate.case`` is the place of its case, or -1 if it was left out. Each column
that begins with ``case.`` has one entry per case; they tell a new image of a known patient (`data.persons`).
"""

import hashlib
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from ganatomy.data.columns import CHUNK, Columns, Table, encode_hashes, encode_texts, join_tables, write_table
from ganatomy.data.keys import PseudonymKey
from ganatomy.errors import Refused
from ganatomy.modalities.modality import Candidate

PREPARED_FILE, KEPT_FILE = "prepared.safetensors", "kept.safetensors"
WORDS = (
    "what ganatomy prepare keeps for the next time; described in docs/decisions/0013-cases-are-columns.md of ganatomy"
)
LEFT_OUT = -1  # place of the case of a candidate that has none
CANDIDATE, CASE = "candidate.", "case."  # prefixes of the two tables
MARK_BYTES = 8  # of a hash of names and sizes, dates, or facts of one candidate


@dataclass(frozen=True)
class Marks:
    """Hashes by which a candidate is recognised.

    Args:
        files: of the names and sizes of its files.
        dates: of the times at which they were changed.
        facts: of what the table of facts and the command say about it.
    """

    files: str
    dates: str
    facts: str


def mark_candidate(candidate: Candidate, raw: Path, key: PseudonymKey) -> Marks:
    """Make the marks of a candidate, from the names, sizes and dates of its files, which are not read."""
    measured = [measure_file(path) for path in candidate.paths]
    names = [make_relative(path, raw) for path in candidate.paths]
    return Marks(
        _hash(key, "".join(f"{name}\0{size}\n" for name, (size, _) in zip(names, measured, strict=True))),
        _hash(key, "".join(f"{date}\n" for _, date in measured)),
        _hash(key, f"{candidate.remark}\n{sorted(candidate.facts.items())}"),
    )


def measure_file(path: Path) -> tuple[int, int]:
    """Return the bytes of a file and the time of its last change in ns; zeros if it has disappeared."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_size, about.st_mtime_ns


def make_relative(path: Path, raw: Path) -> str:
    """Make the path of a file relative to the raw folder."""
    text, start = str(path), f"{raw}{os.sep}"
    return text[len(start) :] if text.startswith(start) else os.path.relpath(path, raw)


def read_listing(path: Path) -> Table:
    """Read the candidates of a plan with their marks, as the first columns of the table of candidates."""
    tables = []
    with path.open(encoding="ascii") as file:
        while lines := list(itertools.islice(file, CHUNK)):
            rows = [json.loads(line) for line in lines]
            table = encode_texts("name", [row["name"] for row in rows])
            table["count"] = np.array([len(row["paths"]) for row in rows], dtype=np.int32)
            for name in ("files", "dates", "facts"):
                table |= encode_hashes(name, [row[name] for row in rows])
            tables.append(table)
    return join_tables(tables)


def write_prepared(path: Path, candidates: Table, cases: Table) -> None:
    """Write both tables."""
    tables = {CANDIDATE: candidates, CASE: cases}
    write_table(path, {first + name: array for first, table in tables.items() for name, array in table.items()}, WORDS)


def read_prepared(path: Path) -> tuple[Table, Table]:
    """Read the tables of candidates and of cases.

    Raises:
        Refused: the file is damaged or missing.
    """
    try:
        columns = Columns(path)
        tables = [
            {name.removeprefix(first): columns[name] for name in columns if name.startswith(first)}
            for first in (CANDIDATE, CASE)
        ]
    except (OSError, SafetensorError) as error:
        raise Refused(
            f"{path} cannot be read ({str(error).splitlines()[0]}), so that the store cannot grow; restore it, or"
            " prepare the raw folder into another --out."
        ) from error
    return tables[0], tables[1]


def _hash(key: PseudonymKey, text: str) -> str:
    plain = text.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(plain, digest_size=MARK_BYTES, key=key.secret, person=b"ganatomy marks").hexdigest()
