"""Where a run tells of itself: one JSON line a tick, and TensorBoard if it is installed."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Log:
    """Scalars and pictures of a run, by images seen. Appends; a resumed run goes on in the same files."""

    def __init__(self, folder: Path, images: int) -> None:
        self._path = folder / "log.jsonl"
        self._drop_after(images)
        self._board = _open_tensorboard(folder / "tensorboard", images)

    def _drop_after(self, images: int) -> None:
        """Ticks later than the checkpoint that the run goes on from would be told twice."""
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            self._path.write_text("".join(line for line in lines if _is_tick_until(line, images)), encoding="utf-8")

    def write_scalars(self, images: int, values: dict[str, float]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"images": images, **{k: round(v, 6) for k, v in values.items()}}) + "\n")
        if self._board is not None:
            self._board.write_scalars(images, values)

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        if self._board is not None:
            self._board.write_picture(images, name, pixels)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _is_tick_until(line: str, images: int) -> bool:
    """Whether a line is a whole tick of at most so many images; what a kill or an editor has spoilt is left out."""
    try:
        return line.endswith("\n") and bool(json.loads(line)["images"] <= images)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


class _Board:
    """A file of TensorBoard's events. Its own writer puts the machine's name into the file's; this one does not."""

    def __init__(self, folder: Path, images: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        self._event = Event
        self._file = (folder / f"events.out.tfevents.{now:017.6f}.{images:09d}").open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        # What an earlier start wrote for later images than these is dropped by the reader.
        self._write(Event(step=images, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())

    def write_scalars(self, images: int, values: dict[str, float]) -> None:
        from torch.utils.tensorboard.summary import scalar

        for name, value in values.items():
            self._write(self._event(step=images, summary=scalar(name, value)))
        self._records.flush()

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        from torch.utils.tensorboard.summary import image

        self._write(self._event(step=images, summary=image(name, pixels, dataformats="HW")))
        self._records.flush()

    def close(self) -> None:
        self._file.close()


def _open_tensorboard(folder: Path, images: int) -> _Board | None:
    try:
        return _Board(folder, images)
    except ImportError:
        return None
