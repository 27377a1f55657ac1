"""TensorBoard's events, in the folder ``tensorboard`` of a run."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar

from ganatomy.training.tracking.tracker import Tracker

FOLDER = "tensorboard"  # in the run folder


class TensorBoardTracker(Tracker):
    """Writes a file of events whose name, unlike that of TensorBoard's own writer, lacks the machine's name."""

    def begin(self, run: Path, images: int, settings: Mapping[str, Any]) -> None:
        folder = run / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time():017.6f}.{images:09d}").open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        # The reader drops the events that an earlier start wrote for later images.
        self._write(Event(step=images, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())

    def write_scalars(self, images: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._write(Event(step=images, summary=scalar(name, value)))
        self._records.flush()

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._write(Event(step=images, summary=image(name, pixels, dataformats="HW")))
        self._records.flush()

    def close(self) -> None:
        self._file.close()
