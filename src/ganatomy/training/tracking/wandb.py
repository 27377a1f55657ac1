"""Weights & Biases: a run with the settings, scalars and pictures of a training.

Nothing leaves the machine unless WANDB_MODE says ``online``: a run is kept in the folder ``wandb`` of the run folder,
and ``wandb sync`` sends it later. The machine, the program and its packages are not recorded.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from numpy.typing import NDArray

from ganatomy.machine.durable import read_json, write_json
from ganatomy.training.tracking.tracker import Tracker

FOLDER, ID_FILE = "wandb", "run.json"  # in the run folder
PROJECT = "ganatomy"
AXIS = "images"  # W&B's own steps cannot go back to a checkpoint


class WandbTracker(Tracker):
    """A training that goes on, goes on in the same run of W&B."""

    def begin(self, run: Path, images: int, settings: Mapping[str, Any]) -> None:
        folder = run / FOLDER
        folder.mkdir(exist_ok=True)
        known = folder / ID_FILE
        if not known.exists():
            write_json(known, {"run_id": secrets.token_hex(4)})
        self._run = wandb.init(
            project=PROJECT,
            name=run.name,
            id=read_json(known)["run_id"],
            resume="allow",
            dir=run,
            config=dict(settings),
            mode="online" if os.environ.get("WANDB_MODE") == "online" else "offline",
            settings=wandb.Settings(
                host="",
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
                disable_git=True,
                disable_code=True,
                console="off",
                silent=True,
            ),
        )
        self._run.define_metric("*", step_metric=AXIS)

    def write_scalars(self, images: int, values: Mapping[str, float]) -> None:
        self._run.log({AXIS: images, **values})

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._run.log({AXIS: images, name: wandb.Image(pixels)})

    def close(self) -> None:
        self._run.finish()
