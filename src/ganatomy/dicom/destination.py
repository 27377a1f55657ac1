"""Where instances can be sent, and what comes back for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from pydicom import Dataset


@dataclass(frozen=True)
class Outcome:
    """What the other side said of one instance.

    Args:
        uid: SOP Instance UID.
        accepted: it is stored there.
        words: the status in the protocol's own words.
        later: it was not accepted now, and may be if it is sent again.
    """

    uid: str
    accepted: bool
    status: str
    retryable: bool = False


class UnreachableError(Exception):
    """Nobody answers, or the connection was lost. Trying again may help."""


class Destination(Protocol):
    """An archive, as a context: what it opens it closes."""

    name: str
    """Without credentials; tells one archive from another."""
    batch_bytes: int
    """Bytes of pixel data that are sent together; 0 = every instance by itself."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def send(self, datasets: Sequence[Dataset]) -> list[Outcome]:
        """Send instances and tell what became of each, in their order.

        Raises:
            Unreachable: nobody answers.
            Refused: this archive will never take them: a wrong address or AE title, no such service, no right.
        """
        ...
