"""The next batches are read while the device computes, an image a task, by threads that touch no tensor."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from ganatomy.machine.share import count_own_cores
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, Region

PREFETCH_DEPTH = 4  # batches ahead: covers a disk that is slow now and then
MAX_READERS = 16  # threads; more do not decompress faster, as Python's part of the work runs on one core

BatchRequest = tuple[range, tuple[Region, ...]]
Raw = TypeVar("Raw")


class PrefetchSource(Protocol[Raw]):
    """A source whose batches are allocated, read image by image, and made into tensors."""

    def allocate_batch(self, numbers: range, regions: tuple[Region, ...]) -> Raw:
        """Memory for a batch that is still to be read."""
        ...

    def read_image(self, batch: Raw, place: int) -> None:
        """From the disk into its place, without torch; called by several threads at once."""
        ...

    def to_tensors(self, batch: Raw) -> tuple[ImageParts, Condition]:
        """To the device."""
        ...


class Prefetcher(Generic[Raw]):
    """A source that knows what will be asked for.

    Tensors are made by the thread that asks: a second one would have PyTorch start its pool of threads twice.

    Args:
        source: where batches come from.
        requests: what will be asked for, in order (`loop.list_requests`).
        depth: batches that are read ahead.
        readers: threads; None = one for each core of this process, `MAX_READERS` at most.
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
        """The batch that is next in order; reading goes on behind it."""
        self._fill()
        request, batch, images = self._coming.popleft()
        assert request == (numbers, regions), f"{numbers} was asked for and {request[0]} is next"
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
        """Read no further."""
        self._executor.shutdown(wait=True, cancel_futures=True)
