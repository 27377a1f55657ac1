"""Tables of features, as `encode` writes them, and tables of clinical measurements."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from ganatomy.errors import Refused

Rows = NDArray[np.float64]


def read_features(path: Path, key: str) -> tuple[list[str], list[str], Rows]:
    """Read keys, patients and codes (n, latent) of a table of features.

    Raises:
        Refused: the file is not a table, or has no latent code.
    """
    try:
        read = parquet.read_table(path) if path.suffix == ".parquet" else arrow_csv.read_csv(path)
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read as a table of features; make one with: ganatomy encode") from error
    columns = [name for name in read.column_names if name[:1] == "z" and name[1:].isdigit()]
    if not columns or {key, "patient"} - set(read.column_names):
        raise Refused(f"{path} has no latent code, {key} or patient; make it with: ganatomy encode")
    rows = np.stack([read[name].to_numpy() for name in columns], 1).astype(np.float64)
    return [str(k) for k in read[key].to_pylist()], [str(p) for p in read["patient"].to_pylist()], rows


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
