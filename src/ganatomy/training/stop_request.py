"""A request to stop a training from outside: an empty file in the run folder, which the training looks for.

It works across containers and machines that share the folder, needs no identifier of a process, and therefore never
stops another process that has got the same number.
"""

import time
from pathlib import Path

STOP_FILE = "stop"
SECONDS_BETWEEN_LOOKS = 1.0  # a look costs a call of the system, which takes milliseconds on a file server
REASON = "Stop requested"


def request_stop(run: Path) -> None:
    """Ask the training of a run folder to save a checkpoint and to stop after its current step."""
    (run / STOP_FILE).touch()


class StopRequest:
    """Looks for a request in a run folder about once a second, and removes those that it has seen.

    Args:
        run: the run folder; a request from before the training began is void.
    """

    def __init__(self, run: Path) -> None:
        self._file = run / STOP_FILE
        self._file.unlink(missing_ok=True)
        self._last = time.monotonic()

    def take(self) -> str | None:
        """Return the reason to stop if there is a request, which is removed; None otherwise."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LOOKS:
            return None
        self._last = now
        if not self._file.exists():
            return None
        self._file.unlink(missing_ok=True)
        return REASON
