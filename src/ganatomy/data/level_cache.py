"""A cache of the cases of a split: every level that fits into memory is read once, in chunks, when it is needed."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ganatomy.data.store import Store
from ganatomy.pyramid import Shape


class LevelCache:
    """Stored values of some cases; several threads may read at the same time.

    A chunk of the store contains several small images or some planes of a large volume. Chunks are kept once they have
    been read, so that a training step at 10 x 8 does not open a hundred chunks. Only requested chunks are read.

    Args:
        store: a complete store.
        rows: rows of the cases in the arrays of the store.
        max_bytes: bytes that may be kept for all levels together; a level is kept as a whole or not at all.
    """

    def __init__(self, store: Store, rows: Sequence[int] | NDArray[np.int64], max_bytes: int) -> None:
        self._store, self._rows, self._max_bytes = store, np.asarray(rows, dtype=np.int64), max_bytes
        self._levels: dict[Shape, _KeptLevel | None] = {}
        self._lock = threading.Lock()

    def read_into(self, out: NDArray[np.uint16], index: int, level: Shape, planes: slice = slice(None)) -> None:
        """Read some planes of the first axis of a case at a level into memory as `Store.read_into` takes it.

        Raises:
            Refused: the store is damaged.
        """
        kept = self._find_level(level)
        if kept is None:
            self._store.read_into(out, int(self._rows[index]), level, planes)
            return
        with self._store.refuse_when_damaged(level):
            out[...] = kept.read(index, planes)

    def _find_level(self, level: Shape) -> "_KeptLevel | None":
        with self._lock:
            if level not in self._levels:
                held = sum(kept.nbytes for kept in self._levels.values() if kept is not None)
                axes = self._store.manifest.array_axes
                fits = held + 2 * len(self._rows) * int(np.prod((*axes, *level))) <= self._max_bytes
                self._levels[level] = _KeptLevel(self._store.array(level), self._rows, len(axes)) if fits else None
            return self._levels[level]


class _KeptLevel:
    """One level: its memory is reserved at once and filled as chunks are read."""

    def __init__(self, array: "zarr.Array[Any]", rows: NDArray[np.int64], axes: int = 0) -> None:
        self._array, self._rows = array, rows
        self._order = np.argsort(self._rows)
        self._every = (slice(None),) * axes  # of the axis of arrays, if there is one
        of_planes = 1 + axes
        self._planes: int = array.shape[of_planes]
        self._rows_per_chunk, self._planes_per_chunk = array.chunks[0], array.chunks[of_planes]
        count = [-(-array.shape[axis] // array.chunks[axis]) for axis in (0, of_planes)]
        self._is_read = np.zeros(count, dtype=bool)
        self._values = np.empty((len(rows), *array.shape[1:]), dtype=np.uint16)
        self.nbytes = self._values.nbytes

    def read(self, index: int, planes: slice) -> NDArray[np.uint16]:
        start, stop, _ = planes.indices(self._planes)
        row, each = int(self._rows[index]) // self._rows_per_chunk, self._planes_per_chunk
        first, last = start // each, -(-stop // each)
        missing = first + np.flatnonzero(~self._is_read[row, first:last])
        if len(missing):  # two threads may read the same chunk; they write the same numbers
            self._read_chunks(row, slice(int(missing[0]) * each, (int(missing[-1]) + 1) * each))
            self._is_read[row, missing] = True
        place: tuple[Any, ...] = (index, *self._every, slice(start, stop))
        return self._values[place]

    def _read_chunks(self, row: int, planes: slice) -> None:
        """Read all cases of the split in a chunk of rows."""
        start, stop = row * self._rows_per_chunk, (row + 1) * self._rows_per_chunk
        places = self._order[slice(*np.searchsorted(self._rows, (start, stop), sorter=self._order))]
        read = np.asarray(self._array[(slice(start, stop), *self._every, planes)])
        target: tuple[Any, ...] = (places, *self._every, planes)
        self._values[target] = read[self._rows[places] - start]
