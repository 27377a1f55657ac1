"""The next batches are read and decoded while the device computes, by one thread that touches no tensor."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, Region

PREFETCH_DEPTH = 4  # batches ahead: covers a disk that is slow now and then

BatchRequest = tuple[range, tuple[Region, ...]]


class PrefetchSource(Protocol):
    """A source that reads in one go and makes tensors in another."""

    def read(self, numbers: range, regions: tuple[Region, ...]) -> Any:
        """From the disk, without torch."""
        ...

    def to_tensors(self, decoded: Any) -> tuple[ImageParts, Condition]:
        """To the device."""
        ...


class Prefetcher:
    """A source that knows what will be asked for.

    Tensors are made by the thread that asks: a second one would have PyTorch start its pool of threads twice.

    Args:
        source: where batches come from.
        requests: what will be asked for, in order (`loop.list_requests`).
    """

    def __init__(self, source: PrefetchSource, requests: Iterator[BatchRequest], depth: int = PREFETCH_DEPTH) -> None:
        self._source, self._requests, self._depth = source, requests, depth
        self._executor = ThreadPoolExecutor(1)
        self._coming: deque[tuple[BatchRequest, Future[Any]]] = deque()

    def read_batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[ImageParts, Condition]:
        """The batch that is next in order; reading goes on behind it."""
        self._fill()
        request, future = self._coming.popleft()
        assert request == (numbers, regions), f"{numbers} was asked for and {request[0]} is next"
        found = future.result()
        self._fill()
        return self._source.to_tensors(found)

    def _fill(self) -> None:
        while len(self._coming) < self._depth and (request := next(self._requests, None)) is not None:
            self._coming.append((request, self._executor.submit(self._source.read, *request)))

    def close(self) -> None:
        """Read no further."""
        self._executor.shutdown(wait=True, cancel_futures=True)
