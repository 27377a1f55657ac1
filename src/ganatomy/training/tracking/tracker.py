"""What a tracker is told while a network trains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Tracker:
    """A receiver of what a training tells. Each method does nothing unless a subclass overrides it.

    Only the first process of a training calls a tracker. A tracker that raises an exception is left out from then on,
    which is said once, and the training goes on. Only a full disk ends the training.

    Example:
        >>> import ganatomy
        >>> class Printer(ganatomy.Tracker):
        ...     def write_snapshot(self, images, folder):
        ...         print(images, folder.name)
        >>> recipe = ganatomy.RECIPES["pggan-mammogram"]().make_tiny()
        >>> run = ganatomy.train(recipe, "store", "runs", seed=1, track=[Printer()])
        480 000000480
    """

    def begin(self, run: Path, images: int, settings: Mapping[str, Any]) -> None:
        """The training begins, or goes on.

        Args:
            run: the run folder; a tracker may keep a folder of its own in it.
            images: real images seen so far.
            settings: the recipe, as in ``recipe.json``, and the seed.
        """

    def write_scalars(self, images: int, values: Mapping[str, float]) -> None:
        """Means since the last tick: loss terms by name, and the progress (``progress/...``)."""

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """A picture of synthetic images, (rows, columns), from black (0) to white (255)."""

    def write_snapshot(self, images: int, folder: Path) -> None:
        """A snapshot was saved in a folder."""

    def close(self) -> None:
        """The training has ended or stops here."""
