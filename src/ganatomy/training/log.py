"""Where a run tells of itself: one JSON line a tick, and TensorBoard if it is installed."""

import json
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
            lines = self._path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["images"] <= images]
            self._path.write_text("".join(kept))

    def write_scalars(self, images: int, values: dict[str, float]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"images": images, **{k: round(v, 6) for k, v in values.items()}}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, images)

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        if self._board is not None:
            self._board.add_image(name, pixels, images, dataformats="HW")

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _open_tensorboard(folder: Path, images: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=images)
