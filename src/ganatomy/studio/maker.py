"""The one place where the studio makes images: a thread that takes requests one after another.

Requests wait in a queue. A request that names a lane replaces the one of the same lane that still waits, so that a
slider that is dragged is answered at its newest position and never queues its old ones.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ganatomy.errors import Ended

Answer = TypeVar("Answer")


class ReplacedError(Ended):
    """A request that a newer one of its lane has replaced before it was begun."""


@dataclass(frozen=True)
class _Request:
    work: Callable[[], Any]
    lane: str | None
    future: "Future[Any]" = field(default_factory=Future)


class Maker:
    """Does work one piece after another in a thread of its own."""

    def __init__(self) -> None:
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="maker", daemon=True).start()

    def do(self, work: Callable[[], Answer], lane: str | None = None) -> Answer:
        """Do a piece of work and return what it returns; the caller waits.

        Args:
            work: makes something.
            lane: requests of one lane replace one another while they wait; None = it waits in any case.

        Raises:
            ReplacedError: a newer request of the lane came before this one was begun.
        """
        request = _Request(work, lane)
        with self._changed:
            for older in [one for one in self._waiting if lane is not None and one.lane == lane]:
                self._waiting.remove(older)
                older.future.cancel()
            self._waiting.append(request)
            self._changed.notify()
        try:
            answer: Answer = request.future.result()
        except CancelledError:
            raise ReplacedError("A newer request has replaced this one.") from None
        return answer

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                request = self._waiting.popleft()
                request.future.set_running_or_notify_cancel()
            try:
                request.future.set_result(request.work())
            except BaseException as error:
                request.future.set_exception(error)
