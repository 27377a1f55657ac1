"""MLflow: a run with the settings, scalars and pictures of a training.

Everything stays in the run folder unless MLFLOW_TRACKING_URI names a server. Through the client nothing is recorded but
what is given here, so that neither the user nor the machine nor the path of the program is named.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric
from numpy.typing import NDArray

from ganatomy.machine.durable import read_json, write_json
from ganatomy.training.tracking.tracker import Tracker

FOLDER, ID_FILE = "mlflow", "run.json"  # in the run folder
EXPERIMENT = "ganatomy"


class MLflowTracker(Tracker):
    """A training that goes on, goes on in the same run of MLflow."""

    def begin(self, run: Path, images: int, settings: Mapping[str, Any]) -> None:
        folder = run / FOLDER
        folder.mkdir(exist_ok=True)
        local = "MLFLOW_TRACKING_URI" not in os.environ
        self._client = MlflowClient(tracking_uri=f"sqlite:///{folder.resolve() / 'mlflow.db'}" if local else None)
        known = folder / ID_FILE
        if known.exists():
            self._id = str(read_json(known)["run_id"])
            self._client.update_run(self._id, status="RUNNING")
            return
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = (
            self._client.create_experiment(EXPERIMENT, folder.resolve().as_uri() if local else None)
            if experiment is None
            else experiment.experiment_id
        )
        self._id = self._client.create_run(number, run_name=run.name).info.run_id
        write_json(known, {"run_id": self._id})
        self._client.log_param(self._id, "recipe", settings["recipe"]["name"])
        self._client.log_param(self._id, "seed", settings["seed"])
        self._client.log_dict(self._id, dict(settings), "settings.json")

    def write_scalars(self, images: int, values: Mapping[str, float]) -> None:
        self._client.log_batch(self._id, [Metric(name, value, 0, images) for name, value in values.items()])

    def write_picture(self, images: int, name: str, pixels: NDArray[np.uint8]) -> None:
        self._client.log_image(self._id, pixels, key=name, step=images)

    def close(self) -> None:
        self._client.set_terminated(self._id)
