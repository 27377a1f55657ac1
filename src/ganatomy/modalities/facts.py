"""Facts about image files from a table: one row a file or series, believed before the file's own header."""

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import MappingProxyType

from ganatomy.errors import Refused

FACTS_FILE = "facts.csv"  # read from the raw folder when no other table is named
FILE_COLUMN = "file"
MISSING_VALUES = ("", "nan", "na", "n/a", "#n/a", "<na>", "null", "nat")  # lower case; of spreadsheets and pandas
DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+")


@dataclass(frozen=True)
class FactTable:
    """What a table says, file by file.

    Args:
        name: of the table's file, for messages; empty = there is no table.
        facts: a file or series, as `normalise_path` writes it, -> fact -> value.
        rows: the same names -> the numbers of their rows, the header being row 1.
        unnamed: numbers of rows that name no file.
        columns: the columns besides ``file``, renamed to the facts' names.
    """

    name: str = ""
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unnamed: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()

    def find_key(self, name: str) -> str | None:
        """Find the name under which the table lists a file or series; None = the table does not list it.

        A series that shares its folder with others, such as ``ct#2``, is found under its own name or the folder's.
        """
        key = normalise_path(name)
        folder, mark, number = key.rpartition("#")
        for known in (key, folder if mark and number.isdigit() else key):
            if known in self.facts:
                return known
        return None

    def find_facts(self, name: str) -> Mapping[str, str]:
        """Find the facts of a file or series; the mapping is empty if the table does not list it."""
        key = self.find_key(name)
        return MappingProxyType({}) if key is None else self.facts[key]


@dataclass(frozen=True)
class FactSource:
    """The source of facts that files do not carry, or carry wrongly.

    Args:
        table: a CSV with a column ``file`` (path below the raw folder); None = ``facts.csv`` in the raw folder if any.
        columns: the table's own column for a fact, where the names differ, such as ``{"laterality": "side"}``.
        constants: facts that hold for every file, such as ``{"view_position": "CC"}``; the table wins.
    """

    table: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    def read_table(self, raw: Path) -> FactTable:
        """Read the named table, or else that of the raw folder; without either, return an empty table.

        Raises:
            Refused: the table cannot be read, lacks a column, or has a row that is too long or contradicts another.
        """
        path = self.table or raw / FACTS_FILE
        if self.table is None and not path.exists() and not path.is_symlink():
            return FactTable()
        if not path.is_file():
            raise Refused(
                f"The table of facts {path} cannot be read: it is no file; give a CSV with a column {FILE_COLUMN}."
            )
        header, rows = _read_rows(path)
        file = self.columns.get(FILE_COLUMN, FILE_COLUMN)
        missing = {file, *self.columns.values()} - set(header)
        if missing:
            raise Refused(f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(header)}.")
        renamed = {name: header.index(column) for name, column in self.columns.items()}
        own = {
            name: place
            for place, name in enumerate(header)
            if name and name not in renamed and place not in renamed.values()
        }
        places = {name: place for name, place in {**own, **renamed}.items() if place != header.index(file)}
        return _join_rows(path, header.index(file), places, rows)

    def combine_facts(self, table: FactTable, name: str) -> dict[str, str]:
        """Combine the facts of one file or series from the table and the constants; the table takes precedence."""
        constants = {fact: normalise_value(value) for fact, value in self.constants.items()}
        return {**constants, **{fact: value for fact, value in table.find_facts(name).items() if value}}


def make_fact_source(
    facts: FactSource | str | PathLike[str] | None, column: Mapping[str, str] | None, fact: Mapping[str, str] | None
) -> FactSource:
    """The source of facts from what a verb is given.

    Args:
        facts: a table, or a source that is complete.
        column: the table's own column for a fact.
        fact: facts that hold for every file.

    Raises:
        Refused: a complete source is given, and columns or facts besides.
    """
    if isinstance(facts, FactSource):
        if column or fact:
            raise Refused("A FactSource has columns and constants of its own; give column and fact with a table only.")
        return facts
    return FactSource(None if facts is None else Path(facts), column or {}, fact or {})


def normalise_path(text: str) -> str:
    """Normalise a path for comparison: blanks at the ends, backslashes, ``./`` and doubled slashes do not matter."""
    parts = unicodedata.normalize("NFC", text).strip().replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".")) or ("." if "." in parts else "")


def normalise_value(text: str | None) -> str:
    """Normalise a value for comparison: missing values become empty, and numbers get one form (1.0 becomes 1)."""
    value = (text or "").strip()
    if value.lower() in MISSING_VALUES:
        return ""
    if DECIMAL.fullmatch(value):
        value = value.rstrip("0").rstrip(".")
        value = "0" if value == "-0" else value
    return value


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read the header and the rows that are not blank, with their numbers; the header is row 1.

    Raises:
        Refused: not a CSV file, two columns of one name, or a row with more cells than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            every = [
                (number, row) for number, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"The table of facts {path} cannot be read as CSV in UTF-8: {error}.") from error
    if not every:
        raise Refused(f"The table of facts {path} is empty; its first row names the columns, {FILE_COLUMN} among them.")
    header = [cell.strip() for cell in every[0][1]]
    if doubled := sorted({name for name in header if name and header.count(name) > 1}):
        raise Refused(f"{path} has two columns of the name {doubled[0]}; give each a name of its own.")
    for number, row in every[1:]:
        if any(cell.strip() for cell in row[len(header) :]):
            raise Refused(
                f"Row {number} of {path} has {len(row)} cells and the header {len(header)}; put a cell that holds a"
                ' comma into "quotation marks".'
            )
    return header, every[1:]


def _join_rows(path: Path, file: int, places: Mapping[str, int], rows: list[tuple[int, list[str]]]) -> FactTable:
    """Group the rows by file.

    Args:
        file: place of the column that names the file.
        places: fact -> place of its column.
    """
    facts: dict[str, dict[str, str]] = {}
    numbers: dict[str, tuple[int, ...]] = {}
    unnamed = []
    for number, row in rows:
        key = normalise_path(row[file]) if file < len(row) else ""
        if not key:
            unnamed.append(number)
            continue
        before = facts.setdefault(key, {})
        for name, place in places.items():
            value = normalise_value(row[place] if place < len(row) else "")
            if value and before.get(name) and before[name] != value:
                raise Refused(
                    f"{path} has more than one row for {key}: row {numbers[key][0]} says {name} {before[name]}, row"
                    f" {number} says {value}; leave one."
                )
            before[name] = value or before.get(name, "")
        numbers[key] = (*numbers.get(key, ()), number)
    return FactTable(path.name, facts, numbers, tuple(unnamed), tuple(places))
