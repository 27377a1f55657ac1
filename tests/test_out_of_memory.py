"""Memory that runs out ends in one sentence and exit code 2, or in smaller pieces."""

import numpy as np
import pytest
import torch

from ganatomy import sampling
from ganatomy.checkpoint import Snapshot, open_snapshot
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.machine.device import is_out_of_memory
from ganatomy.networks.progressive import ProgressiveGeneratorModule
from ganatomy.recipes import get_recipe
from ganatomy.training import loop
from ganatomy.training.train import train

CPU = torch.device("cpu")
ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:120] . DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
)


def _draw(snapshot, batch_size):
    facts = [{"view_position": "CC"}] * 6
    return list(sampling._generate_images(snapshot, facts, 0, 3, None, batch_size, CPU, None, "float32"))


@pytest.fixture
def snapshot(run):
    return open_snapshot(run.list_snapshots()[-1])


def _limit_memory(monkeypatch, most):
    """The generator takes so many images at once and no more; returns the sizes that it was asked for."""
    forward, asked = ProgressiveGeneratorModule.forward, []

    def limited(self, z, condition, scope):
        asked.append(len(z))
        if len(z) > most:
            raise ERRORS[0]
        return forward(self, z, condition, scope)

    monkeypatch.setattr(ProgressiveGeneratorModule, "forward", limited)
    return asked


def test_sampling_halves_its_batch_and_goes_on(snapshot, monkeypatch, capsys):
    whole = _draw(snapshot, 1)
    asked = _limit_memory(monkeypatch, 2)
    pieces = _draw(snapshot, 5)
    assert asked == [5, 2, 2, 2]
    assert [record for _, record in pieces] == [record for _, record in whole]
    for (a, _), (b, _) in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(a.pixels, b.pixels, atol=1e-5)


def test_a_single_image_that_does_not_fit_is_refused(snapshot, monkeypatch):
    _limit_memory(monkeypatch, 0)
    with pytest.raises(Refused, match="not enough memory on cpu for one image of pggan-mammogram at a time"):
        _draw(snapshot, 4)


@pytest.mark.parametrize("error", ERRORS)
def test_training_that_runs_out_of_memory_says_what_needs_less(error, store, tmp_path, monkeypatch):
    def update(*given):
        raise error

    monkeypatch.setattr(loop, "run_update", update)
    with pytest.raises(Refused) as refusal:
        train(get_recipe("pggan-mammogram").make_tiny(), store, tmp_path)
    told = str(refusal.value)
    assert refusal.value.exit_code == 2
    for words in ("There is not enough memory on cpu", "planned", "activations and gradients", "--micro-batches 2"):
        assert words in told


def test_other_errors_of_torch_are_not_taken_for_it(store, tmp_path, monkeypatch):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("not enough memory"))

    def update(*given):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(loop, "run_update", update)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        train(get_recipe("pggan-mammogram").make_tiny(), store, tmp_path)


def test_every_verb_ends_with_one_sentence(run, monkeypatch, capsys):
    def load(*given):
        raise ERRORS[0]

    monkeypatch.setattr(Snapshot, "load_network", load)
    assert main(["evaluate", str(run.path), "--quiet", "--out", "nowhere"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("ganatomy: Memory has run out (CUDA out of memory.")
    assert "Traceback" not in told
