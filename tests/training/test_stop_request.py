"""A training that is asked to stop by a file in its folder, as the studio asks."""

import json
import threading
import time

import pytest

from ganatomy.errors import Interrupted
from ganatomy.recipes import get_recipe
from ganatomy.training.callbacks import Intervals
from ganatomy.training.stop_request import REASON, StopRequest, request_stop
from ganatomy.training.train import train


def test_a_training_stops_with_a_checkpoint_and_goes_on(store, tmp_path):
    recipe = get_recipe("pggan-mammogram").make_tiny().replace(total_kimg=100)
    folder = tmp_path / "00000-pggan-mammogram"

    def stop():
        while not (folder / "log.jsonl").exists():
            time.sleep(0.05)
        request_stop(folder)

    asker = threading.Thread(target=stop)
    asker.start()
    with pytest.raises(Interrupted, match=f"{REASON}: stopped at .* kimg with a checkpoint"):
        train(recipe, store, tmp_path, intervals=Intervals(tick_kimg=0.04))
    asker.join()
    assert list((folder / "checkpoints").glob("0*"))
    assert not (folder / "stop").exists()
    tick = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert 0.01 < tick["progress/memory_gb"] < 100


def test_a_request_from_before_the_training_is_void_and_one_is_taken_once(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    request_stop(tmp_path)
    request = StopRequest(tmp_path)
    now += 2
    assert request.take() is None
    request_stop(tmp_path)
    assert request.take() is None  # it looks once a second
    now += 2
    assert request.take() == REASON
    now += 2
    assert request.take() is None
