"""Tables of features, as `encode` writes them, and tables of clinical measurements.

CSV needs nothing but Python. Parquet needs pyarrow, a package of 170 MB that comes with the extra ``parquet``.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganatomy.errors import Refused
from ganatomy.machine.durable import new_file

SUFFIXES = (".parquet", ".csv")

Rows = NDArray[np.float64]


def check_table_name(path: Path) -> None:
    """Refuse a name that `write_table` cannot write, before the work that fills the table.

    Raises:
        Refused: another suffix than ``.parquet`` or ``.csv``, or Parquet without the extra ``parquet``.
    """
    if path.suffix not in SUFFIXES:
        raise Refused(f"--out {path}: give a name that ends in {' or '.join(SUFFIXES)}.")
    if path.suffix == ".parquet":
        _import_parquet(path)


def write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows as Parquet or CSV by the suffix; a column that a row does not have is empty there.

    In CSV, names and texts are quoted and numbers are not, so that a reader need not guess which is which.

    Raises:
        Refused: Parquet without the extra ``parquet``.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    complete = [{name: row.get(name) for name in names} for row in rows]
    if path.suffix == ".parquet":
        parquet = _import_parquet(path)
        with new_file(path) as temporary:
            parquet.write_table(_make_arrow_table(complete), temporary)
        return
    with new_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writeheader()
        writer.writerows(complete)


def read_features(path: Path, key: str) -> tuple[list[str], list[str], Rows]:
    """Read keys, patients and codes (n, latent) of a table of features.

    Raises:
        Refused: not a table, one without a latent code, or Parquet without the extra ``parquet``.
    """
    try:
        columns = (_read_parquet if path.suffix == ".parquet" else _read_csv)(path)
    except Refused:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise Refused(f"{path} cannot be read as a table of features; make one with: ganatomy encode") from error
    codes = [name for name in columns if name[:1] == "z" and name[1:].isdigit()]
    if not codes or {key, "patient"} - set(columns):
        raise Refused(f"{path} has no latent code, {key} or patient; make it with: ganatomy encode")
    try:
        rows = np.stack([np.array(columns[name], dtype=np.float64) for name in codes], 1)
    except ValueError as error:
        raise Refused(f"{path} has a latent code that is no number ({error}); make it with: ganatomy encode") from error
    return [str(k) for k in columns[key]], [str(p) for p in columns["patient"]], rows


def read_measurements(table: Path, key: str) -> dict[str, dict[str, str]]:
    """Read the rows of a CSV file by the value of a column.

    Raises:
        Refused: the file is not CSV, or does not have this column.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{table} cannot be read as CSV.") from error
    if not rows or key not in rows[0]:
        raise Refused(f"{table} has no column {key}; name the one that joins it to the features with --key.")
    return {row[key]: row for row in rows}


def _read_csv(path: Path) -> dict[str, list[Any]]:
    """Columns by name, as texts.

    Raises:
        ValueError: no header, or a row with more or fewer cells than the header.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in header]
    return dict(zip(header, columns, strict=True))


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    """Columns by name."""
    table = _import_parquet(path).read_table(path)
    return {name: table[name].to_pylist() for name in table.column_names}


def _make_arrow_table(rows: list[dict[str, Any]]) -> Any:
    from pyarrow import Table

    return Table.from_pylist(rows)


def _import_parquet(path: Path) -> ModuleType:
    """The module of pyarrow that reads and writes Parquet.

    Raises:
        Refused: it is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise Refused(
            f"{path}: Parquet needs the package pyarrow; install it with: pip install 'ganatomy[parquet]', or use a"
            " table that ends in .csv."
        ) from error
    return parquet
