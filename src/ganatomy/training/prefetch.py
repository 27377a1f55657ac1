"""Reading of the next batches while the device computes, by threads that read one image at a time without torch."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from ganatomy.machine.share import count_own_cores
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, Region

PREFETCH_DEPTH = 4  # batches that are read in advance, enough for a disk that is slow from time to time
MAX_READERS = 16  # threads; more do not decompress faster, since Python's part of the work runs on one core

BatchRequest = tuple[range, tuple[Region, ...]]
Raw = TypeVar("Raw")


class PrefetchSource(Protocol[Raw]):
    """A source whose batches are allocated, read image by image, and converted to tensors."""

    def allocate_batch(self, numbers: range, regions: tuple[Region, ...]) -> Raw:
        """Allocate memory for a batch that has still to be read."""
        ...

    def read_image(self, batch: Raw, place: int) -> None:
        """Read one image from disk into its place without torch; several threads call this at the same time."""
        ...

    def to_tensors(self, batch: Raw) -> tuple[ImageParts, Condition]:
        """Copy the batch to the device as tensors."""
        ...


class Prefetcher(Generic[Raw]):
    """A source that reads batches in advance, because the sequence of requests is known.

    The thread that calls `read_batch` makes the tensors, because PyTorch starts a pool of threads for each thread that
    uses it.

    Args:
        source: the source of the batches.
        requests: the future requests in order (`loop.list_requests`).
        depth: number of batches that are read in advance.
        readers: number of threads; None = one for each core of this process, but at most `MAX_READERS`.
    """

    def __init__(
        self,
        source: PrefetchSource[Raw],
        requests: Iterator[BatchRequest],
        depth: int = PREFETCH_DEPTH,
        readers: int | None = None,
    ) -> None:
        self._source, self._requests, self._depth = source, requests, depth
        self._executor = ThreadPoolExecutor(readers or min(MAX_READERS, count_own_cores()))
        self._coming: deque[tuple[BatchRequest, Raw, list[Future[None]]]] = deque()

    def read_batch(self, numbers: range, regions: tuple[Region, ...]) -> tuple[ImageParts, Condition]:
        """Return the batch that is next in order, and continue reading in advance."""
        self._fill()
        request, batch, images = self._coming.popleft()
        assert request == (numbers, regions), f"{numbers} was requested, but {request[0]} is next"
        for image in images:
            image.result()
        self._fill()
        return self._source.to_tensors(batch)

    def _fill(self) -> None:
        while len(self._coming) < self._depth and (request := next(self._requests, None)) is not None:
            batch = self._source.allocate_batch(*request)
            images = [self._executor.submit(self._source.read_image, batch, place) for place in range(len(request[0]))]
            self._coming.append((request, batch, images))

    def close(self) -> None:
        """Stop reading."""
        self._executor.shutdown(wait=True, cancel_futures=True)
