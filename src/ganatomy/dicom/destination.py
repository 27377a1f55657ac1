"""Interface of the archives to which instances can be sent, and the outcome of each instance."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from pydicom import Dataset


@dataclass(frozen=True)
class Outcome:
    """The archive's answer for one instance.

    Args:
        uid: SOP Instance UID.
        accepted: whether the archive stored it.
        status: the status in the words of the protocol.
        retryable: it was not accepted, but may be if it is sent again.
    """

    uid: str
    accepted: bool
    status: str
    retryable: bool = False


class UnreachableError(Exception):
    """The archive does not answer, or the connection was lost; trying again may help."""


class Destination(Protocol):
    """An archive, used as a context manager that closes its connections."""

    name: str
    """Without credentials; tells one archive from another."""
    batch_bytes: int
    """Bytes of pixel data that are sent together; 0 = every instance by itself."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def send(self, datasets: Sequence[Dataset]) -> list[Outcome]:
        """Send instances and return their outcomes in the same order.

        Raises:
            UnreachableError: the archive does not answer.
            Refused: the archive will never accept them: wrong address or AE title, missing service or permission.
        """
        ...
