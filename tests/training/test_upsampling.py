"""Which way of up-sampling is used belongs to how a run is computed, and stays when the run goes on."""

import json

import pytest
import torch

from ganatomy.cli import main
from ganatomy.machine import progress
from ganatomy.nn.enlarging import WAYS, EnlargingConvolution
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.training import upsampling
from ganatomy.training.computing import ComputeSettings, get_default_settings
from ganatomy.training.memory_estimate import list_stage_steps
from ganatomy.training.run import open_run
from ganatomy.training.state import State
from ganatomy.training.train import train
from ganatomy.training.upsampling import choose_ways, find_layer_inputs, pick_way

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def _build_state(name):
    recipe = get_recipe(name).make_tiny()
    given = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
    return recipe, State(recipe, 0, CPU, given)


@pytest.mark.parametrize("name", RECIPES)
def test_every_layer_that_enlarges_is_found_with_its_input(name):
    recipe, state = _build_state(name)
    layers = {n for n, m in state.networks["generator"].named_modules() if isinstance(m, EnlargingConvolution)}
    inputs = find_layer_inputs(recipe, list_stage_steps(recipe)[-1], 2)
    assert set(inputs) == layers
    assert all(given.shape[0] == 2 and len(given.shape) == 2 + len(recipe.shape) for given in inputs.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["hagan", "pggan-mammogram", "wgan"])
def test_the_fastest_way_is_chosen_and_nothing_of_the_networks_changes(name, precision, monkeypatch):
    recipe, state = _build_state(name)
    before = {key: value.clone() for key, value in state.networks.state_dict().items()}
    clock = iter(range(10**6))
    monkeypatch.setattr("ganatomy.training.upsampling._time", lambda run, device: run() or 1 / (1 + next(clock)))
    inputs = find_layer_inputs(recipe, list_stage_steps(recipe)[-1], 2)
    torch.manual_seed(3)
    ways, told = choose_ways(state.networks, inputs, ComputeSettings(precision=precision), CPU)
    assert torch.initial_seed() == 3
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(3)))
    assert {way for _, way in ways} == {WAYS[-1]}  # each try is faster than the one before
    assert [f"{name} plain (" in told for name in inputs] == [True] * len(ways)
    assert all(torch.equal(value, before[key]) for key, value in state.networks.state_dict().items())
    assert all(parameter.grad is None for parameter in state.networks.parameters())
    ComputeSettings(upsampling="auto", upsampling_by_layer=ways).apply_to(state.networks, len(recipe.shape))
    assert {state.networks.get_submodule(layer).way for layer, _ in ways} == {"plain"}


def test_a_small_gain_changes_nothing():
    assert pick_way({"fold": 1.0, "phases": 0.97, "plain": 2.0}, "fold") == "fold"
    assert pick_way({"fold": 1.0, "phases": 0.9, "plain": 2.0}, "fold") == "phases"
    assert pick_way({"phases": 0.9}, "fold") == "phases"  # the usual way did not fit into memory
    assert pick_way({}, "fold") == "fold"


def test_a_way_that_does_not_fit_into_memory_is_not_chosen(monkeypatch):
    recipe, state = _build_state("hagan")

    def run(work, device):
        work()
        if next(turns) % 3 == 0:  # fold, the first of the three
            raise torch.OutOfMemoryError
        return 1.0

    turns = iter(range(10**6))
    monkeypatch.setattr("ganatomy.training.upsampling._time", run)
    inputs = find_layer_inputs(recipe, list_stage_steps(recipe)[-1], 2)
    ways, _ = choose_ways(state.networks, inputs, ComputeSettings(), CPU)
    assert "fold" not in dict(ways).values()


def test_a_card_times_them_and_a_processor_does_not():
    for ndim in (2, 3):
        assert get_default_settings(ndim, CUDA).upsampling == "auto"
        assert get_default_settings(ndim, CPU).upsampling == "usual"


def _read_weights(run):
    from safetensors.torch import load_file

    return {f.name: load_file(f) for f in sorted(run.list_checkpoints()[-1].glob("*.safetensors"))}


def test_a_run_goes_on_with_what_it_has_chosen_and_to_the_same_bits(volumes, tmp_path, monkeypatch):
    recipe = change_recipe(get_recipe("hagan").make_tiny(), {"total_kimg": 0.016})
    settings = ComputeSettings(upsampling="auto")
    said = []
    monkeypatch.setattr(progress, "say", said.append)
    monkeypatch.setattr("ganatomy.training.upsampling._time", lambda run, device: run() or 1 / (1 + len(said)))
    whole = train(recipe, volumes, tmp_path / "whole", computing=settings)
    chosen = open_run(whole.path).computing["upsampling_by_layer"]
    assert chosen
    assert sum(text.startswith("Up-sampling timed on cpu: ") for text in said) == 1
    json.dumps(chosen)
    shorter = change_recipe(recipe, {"total_kimg": 0.008})
    part = train(shorter, volumes, tmp_path / "parts", computing=settings)
    monkeypatch.setattr(upsampling, "choose_ways", lambda *a: pytest.fail("timed again"))
    for computing in (None, settings):
        assert train(recipe, volumes, tmp_path / "parts", computing=computing).path == part.path
        assert part.computing["upsampling_by_layer"] == chosen
    a, b = _read_weights(whole), _read_weights(part)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[f][key], b[f][key]) for f in a for key in a[f])


def test_the_command_takes_a_way(volumes, tmp_path, capsys):
    words = f"train hagan {volumes.path} --out {tmp_path} --tiny --shape 32,32,32 --set total_kimg=0.004 --quiet"
    assert main([*words.split(), "--upsampling", "phases", "--precision", "float32", "--search-kernels"]) == 0
    (run,) = tmp_path.glob("0*")
    assert open_run(run).computing["upsampling"] == "phases"
    assert open_run(run).computing["search_kernels"]
    assert main([*words.split(), "--upsampling", "magic"]) == 2
    assert "upsampling" in capsys.readouterr().err


def test_a_recipe_of_the_first_version_is_read_without_its_folding():
    recipe = get_recipe("pggan-mammogram")
    plain = recipe.model_dump(mode="json")
    plain["networks"]["generator"]["folded"] = True
    assert type(recipe).model_validate(plain) == recipe


def test_matrices_that_fold_are_not_saved_and_lie_with_the_weights():
    recipe, state = _build_state("pggan-mammogram")
    generator = state.networks["generator"]
    assert not any("matrix" in name for name in generator.state_dict())
    with torch.device("meta"):
        assert {b.device.type for b in recipe.build_generator().buffers()} == {"meta"}
