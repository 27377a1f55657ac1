"""Two gloo processes learn what one does, stay equal, and go on after one was killed; for every recipe."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from pairs import together, trained
from torch import nn

from ganatomy.errors import Refused
from ganatomy.nn.across import BatchNorm, gather_batch, get_rank, get_world_size, select_own_rows
from ganatomy.nn.norm import append_minibatch_deviation
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import distributed
from ganatomy.training.distributed import (
    average_tensors,
    check_pieces,
    find_differing_replicas,
    list_gradients,
    split_batch,
)
from ganatomy.training.run import open_run

STEPS = 6
FAMILIES = ("gan-mammogram", "hagan", "wgan", "vae")  # one of each kind of network; the others are slow
PLAIN = {"precision": "float32", "hold_memory": True}


def _a_step(recipe):
    """Images of the first step: a batch for every update of the discriminator."""
    return recipe.plan_step(0, 0).batch_size * max(
        int(phase.updates(0)) for phase in recipe.build_phases(recipe.plan_step(0, 0).stage)
    )


def _recipe(name):
    """A tiny one of a few steps whose batches can be cut in two."""
    recipe = get_recipe(name).make_tiny()
    batch = _a_step(recipe)
    changes = {"total_kimg": STEPS * batch / 1000}
    if hasattr(recipe.strategy, "fade_kimg"):
        changes |= {"strategy.fade_kimg": 2 * batch / 1000, "strategy.stable_kimg": batch / 1000}
    if hasattr(recipe.strategy, "autoencoder_kimg"):
        changes |= {"strategy.autoencoder_kimg": 3 * batch / 1000}
    return change_recipe(recipe, changes)


def _final(folder):
    (path,) = [p for p in folder.iterdir() if (p / "recipe.json").exists()]
    run = open_run(path)
    files, meta = run.load_newest_checkpoint()
    return files, meta["counts"], json.loads((path / "terms.json").read_text())


EVERY = [pytest.param(name, marks=() if name in FAMILIES else pytest.mark.slow) for name in RECIPES]


@pytest.mark.ci
@pytest.mark.parametrize("name", EVERY)
def test_two_processes_learn_what_one_does_and_go_on_bit_for_bit(name, store, volumes, hagan, tmp_path):
    recipe = _recipe(name)
    data = (store if len(recipe.shape) == 2 else volumes).path
    given = hagan.path if recipe.pretrained_roles else None
    plain = recipe.model_dump(mode="json")
    arguments = (2 * _a_step(recipe) / 1000, given, PLAIN)
    assert together(trained, plain, data, tmp_path / "whole", None, *arguments) == [0, 0]
    first, second = together(trained, plain, data, tmp_path / "parts", 4, *arguments)
    assert (first, second) == (1, -9)
    assert together(trained, plain, data, tmp_path / "parts", None, *arguments) == [0, 0]
    whole, parts = _final(tmp_path / "whole"), _final(tmp_path / "parts")
    assert whole[1] == parts[1]
    assert all(torch.equal(whole[0][f][k], parts[0][f][k]) for f in whole[0] for k in whole[0][f])
    assert whole[2][2:] == parts[2]  # it went on from the checkpoint after two steps
    trained(plain, data, tmp_path / "alone", None, *arguments)
    alone = _final(tmp_path / "alone")
    assert alone[1] == whole[1]
    for mine, theirs in zip(alone[2], whole[2], strict=True):
        assert mine == pytest.approx(theirs, rel=2e-2, abs=2e-3)
    assert alone[2][0] == pytest.approx(whole[2][0], rel=1e-4, abs=1e-5)


def _among_two(folder):
    """What one of two processes sees of a batch of four; process 0 writes it down."""
    with distributed.process_group(torch.device("cpu")):
        generator = torch.Generator().manual_seed(0)
        whole = torch.randn(4, 3, 2, 2, 2, generator=generator, dtype=torch.float64).float()
        mine = select_own_rows(whole).clone().requires_grad_(True)
        assert torch.equal(gather_batch(select_own_rows(whole)), whole)
        norm = BatchNorm(3)
        said = {"norm": norm(mine), "deviation": append_minibatch_deviation(mine)}
        for name in ("norm", "deviation"):
            (first,) = torch.autograd.grad(said[name].square().sum(), mine, create_graph=True)
            (second,) = torch.autograd.grad(first.square().sum(), mine, retain_graph=True)
            said |= {f"{name}/first": first, f"{name}/second": second}
        said = {name: gather_batch(value.detach()) for name, value in said.items()}
        said |= {"mean": norm.running_mean, "variance": norm.running_var}
        layers = nn.ModuleDict({"used": nn.Linear(3, 2), "unused": nn.Linear(2, 2)})
        for parameter in layers["used"].parameters():
            parameter.grad = torch.full_like(parameter, float(get_rank() + 1))
        average_tensors(list_gradients(layers.parameters()))
        assert [p.grad.unique().tolist() for p in layers["used"].parameters()] == [[1.5], [1.5]]
        assert all(p.grad is None for p in layers["unused"].parameters())
        assert find_differing_replicas(layers) == []
        with torch.no_grad():
            layers["unused"].weight[1, 1] += 1e-6 * get_rank()
        assert find_differing_replicas(layers) == ["unused"]
        assert distributed.run_on_first_process(lambda: get_rank()) == 0
        with pytest.raises(Refused, match="both hear it"):
            distributed.run_on_first_process(_refuses)
        if get_rank() == 0:
            torch.save(said, folder / "said.pt")


def _refuses():
    raise Refused("both hear it")


def test_statistics_of_a_batch_are_those_of_all_processes_and_so_are_their_derivatives(tmp_path):
    assert together(_among_two, tmp_path) == [0, 0]
    said = torch.load(tmp_path / "said.pt", weights_only=True)
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(4, 3, 2, 2, 2, generator=generator, dtype=torch.float64).float().requires_grad_(True)
    norm = nn.BatchNorm3d(3)
    for name, value in (("norm", norm(whole)), ("deviation", append_minibatch_deviation(whole))):
        (first,) = torch.autograd.grad(value.square().sum(), whole, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), whole, retain_graph=True)
        for key, expected in ((name, value), (f"{name}/first", first), (f"{name}/second", second)):
            torch.testing.assert_close(said[key], expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(said["mean"], norm.running_mean)
    torch.testing.assert_close(said["variance"], norm.running_var)


def test_one_process_needs_no_group():
    layer = nn.Linear(2, 2)
    layer.weight.grad = torch.ones_like(layer.weight)
    average_tensors(list_gradients(layer.parameters()))
    assert (layer.weight.grad == 1).all()
    assert (get_rank(), get_world_size()) == (0, 1)
    assert find_differing_replicas({"layer": layer}) == []
    assert split_batch(range(8, 16), 2) == [range(8, 16, 2), range(9, 17, 2)]


def test_batches_that_cannot_be_shared_alike_are_refused():
    check_pieces(get_recipe("hagan"), 4, 1)
    check_pieces(get_recipe("hagan"), 2, 2)
    with pytest.raises(Refused, match=r"A batch of 4 images cannot be divided into equal parts for 3 processes"):
        check_pieces(get_recipe("hagan"), 3, 1)
    with pytest.raises(Refused, match=r"its batch normalisation takes the mean of all images"):
        check_pieces(get_recipe("wgan"), 1, 2)
    with pytest.raises(Refused, match=r"compares images of a batch of 4 in groups"):
        check_pieces(get_recipe("pggan-mammogram"), 1, 2)
    for name in ("stylegan2", "relativistic", "relativistic-mammogram"):
        check_pieces(get_recipe(name), 2, 1)  # processes compare the images of all of them
        with pytest.raises(
            Refused, match=rf"would change the result of {name}: its discriminator compares images .* of 4"
        ):
            check_pieces(get_recipe(name), 1, 2)


def _command(volumes, out, *more):
    return [
        sys.executable,
        "-m",
        "ganatomy",
        "train",
        "hagan",
        str(volumes.path),
        "--tiny",
        "--out",
        str(out),
        "--checkpoint-kimg",
        "0.04",
        "--threads",
        "1",
        "--quiet",
        *more,
    ]


@pytest.mark.ci
def test_a_command_that_starts_two_processes_stops_with_a_checkpoint_and_goes_on(volumes, tmp_path):
    command = _command(volumes, tmp_path, "--processes", "2")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        kept = tmp_path / "00000-hagan" / "checkpoints"
        while not list(kept.glob("[0-9]*")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        assert "Traceback" not in process.stderr.read()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    environment = json.loads((tmp_path / "00000-hagan" / "environment.json").read_text())
    assert environment["processes"] == 2


def test_what_is_wrong_with_two_processes_is_said_once(volumes, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "WORLD_SIZE"}
    command = _command(volumes, tmp_path, "--processes", "3")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.count("cannot be divided into equal parts") == 1
    assert not list(tmp_path.iterdir())
