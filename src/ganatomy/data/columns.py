"""Columns of a table with many rows, kept in one safetensors file and read only when they are needed.

A table is a mapping from names to arrays. Numbers and hashes are one array each, with one entry per row. Texts are two
arrays: ``NAME.text``, the UTF-8 bytes of all texts one after another, and ``NAME.ends``, the end of each text in them.
Texts that repeat, such as the values of a fact, are three arrays: ``NAME.code``, one number per row (-1 = no value),
and the texts ``NAME.value.text`` and ``NAME.value.ends`` that the numbers count from zero.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from ganatomy.machine.durable import new_file

TEXT, ENDS, CODE, VALUE = ".text", ".ends", ".code", ".value"
CHUNK = 4096  # rows that are encoded together, so that few of them are in memory as texts
ABSENT = -1  # code of a row that has no value
BYTES_OF_NAMES = "surrogateescape"  # a file name that is not UTF-8 keeps its bytes

Array = NDArray[Any]
Table = dict[str, Array]


class Columns(Mapping[str, Array]):
    """The columns of a table in memory or in a file; a column of a file is read when it is used first, and then kept.

    The file stays open, so that on Linux a table does not change under its reader when the file is replaced.

    Args:
        source: the table, or the file that `write_table` wrote.

    Raises:
        SafetensorError: the file is not such a file.
    """

    def __init__(self, source: Table | Path) -> None:
        self._file: Any = None
        self._kept: Table = {}
        if isinstance(source, Path):
            self._file = safe_open(source, "numpy")
            self._names = tuple(self._file.keys())
        else:
            self._kept, self._names = source, tuple(source)

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._kept:
            self._kept[name] = self._file.get_tensor(name)
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getstate__(self) -> Table:
        return dict(self)

    def __setstate__(self, state: Table) -> None:
        self._file, self._kept, self._names = None, state, tuple(state)

    def read_slice(self, name: str, start: int, stop: int) -> Array:
        """Read some entries of a column, without the others."""
        if name in self._kept:
            return self._kept[name][start:stop]
        found: Array = self._file.get_slice(name)[start:stop]
        return found

    def read_text(self, name: str, place: int) -> str:
        """Read one text of the column `name`."""
        first = max(place - 1, 0)
        ends = self.read_slice(name + ENDS, first, place + 1)
        start = 0 if place == 0 else int(ends[0])
        return self.read_slice(name + TEXT, start, int(ends[-1])).tobytes().decode("utf-8", BYTES_OF_NAMES)

    def read_value(self, name: str, place: int) -> str | None:
        """Read one text of a column of texts that repeat; None = the row has no value."""
        (code,) = self.read_slice(name + CODE, place, place + 1)
        return None if code == ABSENT else self.read_text(name + VALUE, int(code))

    def list_texts(self, name: str, start: int = 0, stop: int | None = None) -> list[str]:
        """Read consecutive texts of the column `name`."""
        ends = self.read_slice(name + ENDS, max(start - 1, 0), len(self[name + ENDS]) if stop is None else stop)
        cuts = ends.tolist() if start else [0, *ends.tolist()]
        if len(cuts) < 2:
            return []
        content = self.read_slice(name + TEXT, cuts[0], cuts[-1]).tobytes()
        return [
            content[first - cuts[0] : last - cuts[0]].decode("utf-8", BYTES_OF_NAMES)
            for first, last in itertools.pairwise(cuts)
        ]

    def list_values(self, name: str) -> list[str]:
        """Read the different texts of a column of texts that repeat, in the order of their codes."""
        return self.list_texts(name + VALUE)


def encode_texts(name: str, texts: Iterable[str]) -> Table:
    """Make the two arrays of a column of texts."""
    content = [text.encode("utf-8", BYTES_OF_NAMES) for text in texts]
    ends = np.cumsum([len(one) for one in content], dtype=np.int64)
    return {name + TEXT: np.frombuffer(b"".join(content), dtype=np.uint8), name + ENDS: ends}


def encode_values(name: str, texts: Iterable[str | None]) -> Table:
    """Make the three arrays of a column of texts that repeat; their codes count them in the order of appearance."""
    codes: dict[str, int] = {}
    found = [ABSENT if text is None else codes.setdefault(text, len(codes)) for text in texts]
    return {name + CODE: np.array(found, dtype=np.int32), **encode_texts(name + VALUE, codes)}


def encode_hashes(name: str, hashes: Sequence[str]) -> Table:
    """Make the array of a column of hashes: their bytes.

    Args:
        name: name of the column.
        hashes: hexadecimal, all of one length.
    """
    content = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8)
    return {name: content.reshape(len(hashes), -1) if len(hashes) else content.reshape(0, 16)}


def count_rows(table: Mapping[str, Array]) -> int:
    """Count the rows of a table that is not empty."""
    return len(next(table[name] for name in table if not _is_part_of_texts(name)))


def find_columns(table: Iterable[str], prefix: str, suffix: str) -> list[str]:
    """List what stands between a prefix and a suffix in the names of a table, in its order."""
    return [
        name[len(prefix) : len(name) - len(suffix)]
        for name in table
        if name.startswith(prefix) and name.endswith(suffix) and len(name) > len(prefix) + len(suffix)
    ]


def join_tables(tables: Sequence[Table]) -> Table:
    """Join tables one below the other; a column that a table lacks is without values there.

    The codes of the first table that has a column are kept, and new values are appended to its values.
    """
    names = dict.fromkeys(name for table in tables for name in table)
    joined: Table = {}
    for name in names:
        if name.endswith(CODE):
            joined |= _join_values(name.removesuffix(CODE), tables)
        elif name.endswith(ENDS) and not name.endswith(VALUE + ENDS):
            joined |= _join_texts(name.removesuffix(ENDS), tables)
        elif not _is_part_of_texts(name):
            joined[name] = _join_numbers(name, tables)
    return joined


def select_rows(table: Table, kept: NDArray[np.bool_]) -> Table:
    """Select the rows of a table where `kept` is true; values that no row has any more are kept as well."""
    chosen: Table = {}
    for name, array in table.items():
        if name.endswith(ENDS) and not name.endswith(VALUE + ENDS):
            sizes = np.diff(array, prepend=0)
            text = name.removesuffix(ENDS) + TEXT
            chosen[text] = table[text][np.repeat(kept, sizes)]
            chosen[name] = np.cumsum(sizes[kept], dtype=np.int64)
        elif name.endswith((VALUE + TEXT, VALUE + ENDS)):
            chosen[name] = array
        elif not name.endswith(TEXT):
            chosen[name] = array[kept]
    return chosen


def write_table(path: Path, table: Table, words: str) -> None:
    """Write a table as one safetensors file, durably.

    Args:
        path: the file.
        table: the table.
        words: what it is, for a reader without this package.
    """
    with new_file(path) as temporary:
        temporary.write_bytes(
            save({name: np.ascontiguousarray(array) for name, array in table.items()}, {"about": words})
        )


def _is_part_of_texts(name: str) -> bool:
    return name.endswith((TEXT, ENDS))


def _join_values(name: str, tables: Sequence[Table]) -> Table:
    known: dict[str, int] = {}
    codes = []
    for table in tables:
        if name + CODE not in table:
            codes.append(np.full(count_rows(table), ABSENT, dtype=np.int32))
            continue
        values = Columns(table).list_values(name)
        new = np.array([*(known.setdefault(value, len(known)) for value in values), ABSENT], dtype=np.int32)
        codes.append(new[table[name + CODE]])  # -1, no value, is the last
    return {name + CODE: np.concatenate(codes), **encode_texts(name + VALUE, known)}


def _join_texts(name: str, tables: Sequence[Table]) -> Table:
    ends, total = [], 0
    for table in tables:
        ends.append(table[name + ENDS] + total)
        total += len(table[name + TEXT])
    return {name + TEXT: np.concatenate([table[name + TEXT] for table in tables]), name + ENDS: np.concatenate(ends)}


def _join_numbers(name: str, tables: Sequence[Table]) -> Array:
    width = max(table[name].shape[1:] for table in tables if name in table)
    kind = np.result_type(*(table[name] for table in tables if name in table))
    parts = []
    for table in tables:
        rows, blank = count_rows(table), np.nan if kind.kind == "f" else 0
        part = np.full((rows, *width), blank, dtype=kind)
        if name in table and table[name].shape[1:] == width:
            part = table[name]
        parts.append(part)
    return np.concatenate(parts)
