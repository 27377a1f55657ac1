"""The log of a run: one JSON line a tick, and TensorBoard's events if TensorBoard is installed."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Log:
    """Scalars and pictures of a run, by images seen. A resumed run appends to the same files."""

    def __init__(self, folder: Path, images: int) -> None:
        self._path = folder / "log.jsonl"
        self._drop_after(images)
        self._board = _open_tensorboard(folder / "tensorboard", images)

    def _drop_after(self, images: int) -> None:
        """Remove the ticks after the checkpoint that the run continues from, which would otherwise occur twice."""
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
    """Return whether a line is a complete tick of at most `images` images. A damaged line is none."""
    try:
        return line.endswith("\n") and bool(json.loads(line)["images"] <= images)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


class _Board:
    """A file of TensorBoard's events whose name, unlike that of TensorBoard's own writer, lacks the machine's name."""

    def __init__(self, folder: Path, images: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        self._event = Event
        self._file = (folder / f"events.out.tfevents.{now:017.6f}.{images:09d}").open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        # The reader drops the events that an earlier start wrote for later images.
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
