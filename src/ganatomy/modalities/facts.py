"""Facts of images that the files themselves do not carry, from a CSV table or from the command line."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ganatomy.errors import Refused

FACTS_FILE = "facts.csv"  # read from the raw folder when no other table is named


@dataclass(frozen=True)
class FactSource:
    """Where the facts of picture files come from.

    Args:
        table: a CSV with a column ``file`` (path below the raw folder); None = ``facts.csv`` in the raw folder if any.
        columns: the table's own column for a fact, where the names differ, such as ``{"laterality": "side"}``.
        constants: facts that hold for every file, such as ``{"view_position": "CC"}``; the table wins.
    """

    table: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    def read_facts(self, raw: Path) -> dict[str, dict[str, str]]:
        """File name below `raw` -> its row, with the columns renamed to the facts' names.

        Raises:
            Refused: the table cannot be read or lacks a column.
        """
        path = self.table or raw / FACTS_FILE
        if self.table is None and not path.exists():
            return {}
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise Refused(f"The table of facts {path} cannot be read: {error}.") from error
        present = set(rows[0]) if rows else set()
        missing = {"file", *self.columns.values()} - present
        if missing:
            raise Refused(f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(sorted(present))}.")
        names = {column: name for name, column in self.columns.items()}
        return {row["file"]: {names.get(c, c): (v or "").strip() for c, v in row.items() if c} for row in rows}
