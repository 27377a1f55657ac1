"""The cases of a store: one row per image, in columns that are read when they are needed.

A row is a mapping, as it stood in the ``cases.jsonl`` of stores of the first format. Its keys are ``row`` (in the
arrays), ``file``, ``patient`` (pseudonym), ``split``, ``facts``, ``synthetic``, ``spacing``, ``quantiles``,
``geometry``, ``pixels`` (hash) and ``absent`` (for each channel, whether the case lacks it).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ganatomy.channels import ONE_IMAGE, Channels, describe_channels
from ganatomy.data.columns import (
    ABSENT,
    CHUNK,
    CODE,
    ENDS,
    Columns,
    Table,
    encode_hashes,
    encode_texts,
    encode_values,
    find_columns,
)
from ganatomy.pyramid import Shape

CASES_TABLE = "cases of a store, one entry per case; described in docs/decisions/0013-cases-are-columns.md of ganatomy"
FACT = "fact."  # prefix of the columns of facts
REPEATED = ("patient", "split", "person", "issuer", "order", "told_by")  # columns of texts that repeat

Row = Mapping[str, Any]
Places = NDArray[np.int64]


class Cases(Sequence[dict[str, Any]]):
    """Cases of a store, or some of them: a sequence of rows, and columns for those who need one fact of all.

    Args:
        columns: the columns.
        places: the places in the columns of these cases, in this order; None = all.
    """

    def __init__(self, columns: Columns, places: Places | None = None) -> None:
        self._columns = columns
        self._places = places
        self._facts = find_columns(columns, FACT, CODE)

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> "Cases":
        """Make cases of rows in memory."""
        return cls(Columns(encode_rows(rows)))

    def __len__(self) -> int:
        return len(self._columns["row"]) if self._places is None else len(self._places)

    @overload
    def __getitem__(self, i: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, i: slice | Sequence[int] | Places | NDArray[np.bool_]) -> "Cases": ...
    def __getitem__(self, i: int | slice | Sequence[int] | Places | NDArray[np.bool_]) -> "dict[str, Any] | Cases":
        """One row; or, for a slice, places or a mask, some of the cases."""
        if isinstance(i, int | np.integer):
            if not -len(self) <= i < len(self):
                raise IndexError(f"case {i} of {len(self)}")
            return self._read(int(i) % len(self))
        every = np.arange(len(self), dtype=np.int64) if self._places is None else self._places
        chosen = i if isinstance(i, slice) else np.asarray(i, dtype=None if len(i) else np.int64)
        return Cases(self._columns, every[chosen])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over the rows."""
        if len(self) > CHUNK:
            for name in self._columns:
                self._columns[name]  # many short reads of a file take longer than one long read
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return f"<{len(self)} cases>"

    @property
    def rows(self) -> Places:
        """The rows of the cases in the arrays of the store."""
        return self._take("row")

    def get_row(self, i: int) -> int:
        """Return the row of one case in the arrays of the store."""
        return int(self._columns["row"][self._find_place(range(len(self))[i])])

    @property
    def fact_names(self) -> list[str]:
        """The facts that any case has."""
        return list(self._facts)

    def list_texts(self, name: str) -> list[str]:
        """List ``patient`` or ``split`` of all cases."""
        values = self._columns.list_values(name)
        return [values[code] for code in self._take(name + CODE).tolist()]

    def list_hashes(self) -> list[str]:
        """List the hashes of the stored pixels."""
        content = self._take("pixels")
        width, text = 2 * content.shape[1], content.tobytes().hex()
        return [text[i : i + width] for i in range(0, width * len(content), width)]

    def find_absent(self) -> NDArray[np.bool_] | None:
        """Find which channels the cases lack: ``(cases, channels)``; None if no case of the store lacks one."""
        if "absent" not in self._columns or not self._columns["absent"].any():
            return None
        return self._take("absent")

    def read_table(self) -> Table:
        """Read all columns of all cases of the store."""
        assert self._places is None, "these are some cases of a store"
        return dict(self._columns)

    def find_split(self, name: str) -> "Cases":
        """Select the cases of ``train``, ``validation`` or ``test``."""
        values = self._columns.list_values("split")
        code = values.index(name) if name in values else ABSENT - 1
        return self[self._take("split" + CODE) == code]

    def number_patients(self) -> NDArray[np.int64]:
        """Number the patient of every case, in the order of their first cases."""
        _, first, inverse = np.unique(self._take("patient" + CODE), return_index=True, return_inverse=True)
        ranks = np.empty(len(first), dtype=np.int64)
        ranks[np.argsort(first)] = np.arange(len(first))
        return ranks[inverse]

    def count_values(self, name: str) -> dict[str, int]:
        """Count the cases of each value of a fact, in the order of the values' first appearance in the store."""
        codes = self._take(FACT + name + CODE)
        values = self._columns.list_values(FACT + name)
        counts = np.bincount(codes[codes != ABSENT], minlength=len(values)).tolist()
        return {value: count for value, count in zip(values, counts, strict=True) if count}

    def group_facts(self) -> tuple[NDArray[np.int64], list[dict[str, str]]]:
        """Group the cases by their facts, which takes less time and memory than a mapping for every case.

        Returns:
            For each case the number of its facts, and the different facts.
        """
        number = np.zeros(len(self), dtype=np.int64)
        for name in self._facts:
            codes = self._take(FACT + name + CODE).astype(np.int64)
            _, number = np.unique(number * (codes.max(initial=0) + 2) + codes + 1, return_inverse=True)
        _, first = np.unique(number, return_index=True)
        return number, [self._read_facts(self._find_place(int(i))) for i in first]

    def list_facts(self) -> list[dict[str, str]]:
        """List the facts of every case; cases with the same facts share one mapping."""
        number, different = self.group_facts()
        return [different[i] for i in number.tolist()]

    def _take(self, name: str) -> NDArray[Any]:
        column = self._columns[name]
        return column if self._places is None else column[self._places]

    def _find_place(self, i: int) -> int:
        return i if self._places is None else int(self._places[i])

    def _read_facts(self, place: int) -> dict[str, str]:
        read = ((name, self._columns.read_value(FACT + name, place)) for name in self._facts)
        return {name: value for name, value in read if value is not None}

    def _read(self, i: int) -> dict[str, Any]:
        place, columns = self._find_place(i), self._columns
        row: dict[str, Any] = {"row": int(self._columns["row"][place])}
        if "file" + ENDS in columns:
            row["file"] = columns.read_text("file", place)
        for name in REPEATED:
            if name + CODE in columns and (value := columns.read_value(name, place)) is not None:
                row[name] = value
        row["facts"] = self._read_facts(place)
        if "synthetic" in columns:
            row["synthetic"] = bool(columns["synthetic"][place])
        for name in ("spacing", "quantiles"):
            if name in columns:
                values = columns[name][place]
                row[name] = None if np.isnan(values).any() else values.tolist()
        if "geometry" + CODE in columns and (text := columns.read_value("geometry", place)) is not None:
            row["geometry"] = json.loads(text)
        if "absent" in columns:
            row["absent"] = columns["absent"][place].tolist()
        if "pixels" in columns:
            row["pixels"] = columns["pixels"][place].tobytes().hex()
        return row


def as_cases(given: Cases | Sequence[Row]) -> Cases:
    """The cases that are given, or those of rows in memory."""
    return given if isinstance(given, Cases) else Cases.from_rows(given)


def encode_rows(rows: Sequence[Row]) -> Table:
    """Make the columns of rows; a column exists if any row has its value."""
    table: Table = {"row": np.array([row["row"] for row in rows], dtype=np.int64)}
    if any("file" in row for row in rows):
        table |= encode_texts("file", [row["file"] for row in rows])
    for name in REPEATED:
        if any(name in row for row in rows):
            table |= encode_values(name, [row.get(name) for row in rows])
    for name in dict.fromkeys(name for row in rows for name in row["facts"]):
        table |= encode_values(FACT + name, [row["facts"].get(name) for row in rows])
    table |= _encode_numbers(rows)
    if any("geometry" in row for row in rows):
        texts = (json.dumps(row["geometry"]) if "geometry" in row else None for row in rows)
        table |= encode_values("geometry", texts)
    if any("pixels" in row for row in rows):
        table |= encode_hashes("pixels", [row["pixels"] for row in rows])
    return table


def _encode_numbers(rows: Sequence[Row]) -> Table:
    """Make the columns of rows that are numbers or truth values; a case without `absent` lacks no channel."""
    table: Table = {}
    if rows and all("synthetic" in row for row in rows):
        table["synthetic"] = np.array([row["synthetic"] for row in rows], dtype=np.bool_)
    for name in ("spacing", "quantiles"):
        if any(name in row for row in rows):
            width = max(len(row.get(name) or ()) for row in rows) or 1
            table[name] = np.array([row.get(name) or [np.nan] * width for row in rows], dtype=np.float64)
    if any("absent" in row for row in rows):
        width = max(len(row.get("absent", ())) for row in rows)
        table["absent"] = np.array([row.get("absent", [False] * width) for row in rows], dtype=np.bool_)
    return table


def compute_fingerprint(
    shape: Shape, modality: str, cases: Cases, keyed: bool = True, channels: Channels = ONE_IMAGE
) -> str:
    """Compute SHA-256 of all data that training uses: the shape, and pixels, patient, split and facts of each case.

    The hash is that of a JSON text with all of them, which is made piece by piece.

    Args:
        shape: shape of the images.
        modality: name of the modality.
        cases: the cases.
        keyed: number the patients in the order of their first case, so that the fingerprint does not depend on the
            key. Version 0.1.0, whose pseudonyms had no key, hashed the pseudonyms themselves.
        channels: the channels of a case, which are hashed unless they are one image.
    """
    about = [list(shape), modality, *([describe_channels(channels)] if channels != ONE_IMAGE else [])]
    if (absent := cases.find_absent()) is not None:
        about.append(hashlib.sha256(np.packbits(absent).tobytes()).hexdigest())
    digest = hashlib.sha256(json.dumps(about).encode()[:-1] + b", [")
    patients = cases.number_patients().tolist() if keyed else map(json.dumps, cases.list_texts("patient"))
    kinds, different = cases.group_facts()
    facts = [json.dumps(one, sort_keys=True) for one in different]
    rows = zip(cases.list_hashes(), patients, cases.list_texts("split"), kinds.tolist(), strict=True)
    texts: list[str] = []
    separator = ""
    for pixels, patient, split, kind in rows:
        texts.append(f'["{pixels}", {patient}, "{split}", {facts[kind]}]')
        if len(texts) == CHUNK:
            digest.update((separator + ", ".join(texts)).encode())
            texts, separator = [], ", "
    if texts:
        digest.update((separator + ", ".join(texts)).encode())
    digest.update(b"]]")
    return digest.hexdigest()
