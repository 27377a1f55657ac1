"""How a run is computed changes its speed and memory, not its result; what computes wrongly is refused."""

import ctypes
import platform

import pytest
import torch

from ganatomy.device import hold_memory
from ganatomy.objectives.phase import Draw
from ganatomy.recipe import changed
from ganatomy.recipes import named
from ganatomy.refused import Refused
from ganatomy.training.computing import Computing, chosen, usual
from ganatomy.training.loop import run
from ganatomy.training.state import State
from ganatomy.training.train import train

CPU = torch.device("cpu")


def _step(name, computing):
    """Losses and generator weights after one step."""
    recipe = named(name).tiny()
    ndim = len(recipe.shape)
    state = State(recipe, 0, CPU, layout=computing.layout(ndim))
    computing.applied(state.players, ndim)
    scope = recipe.at(0, 0).scope
    generator = torch.Generator().manual_seed(0)
    sizes = [((r.depth or r.shape[0]), *r.shape[1:]) for r in scope.reads]
    read = tuple(torch.rand(2, 1, *size, generator=generator) * 2 - 1 for size in sizes)
    condition = torch.eye(2)[:, : sum(recipe.groups)]
    losses = []
    for phase in recipe.phases():
        terms = run(phase, state, Draw(read, condition, recipe.groups, scope, 0, range(2)), computing.dtype)
        losses += [float(value) for value in terms.values()]
    return losses, {key: value.clone() for key, value in state.players["generator"].state_dict().items()}


@pytest.mark.parametrize("name", ["hagan", "pggan-mammogram"])
def test_recomputed_activations_give_the_same_bits(name):
    plain, again = _step(name, Computing()), _step(name, Computing(recompute=True))
    assert plain[0] == again[0]
    assert plain[1].keys() == again[1].keys()
    assert all(torch.equal(plain[1][key], again[1][key]) for key in plain[1])


def test_recomputation_keeps_fewer_tensors():
    recipe = named("hagan").resized((64, 64, 64))
    kept = []
    for recompute in (False, True):
        with torch.device("meta"):
            players = recipe.build()
        Computing(recompute=recompute).applied(players, 3)
        sizes = {}

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
            return tensor

        players["discriminator"].requires_grad_(False)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            made = players["generator"](
                torch.empty(4, 1024, device="meta"), torch.empty(4, 0, device="meta"), recipe.at(0, 0).scope
            )
        weights = sum(p.numel() * 4 for p in players["generator"].parameters())
        kept.append(sum(sizes.values()) - weights)
        del made
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("name", ["hagan", "pggan-mammogram"])
def test_the_memory_layout_changes_rounding_only(name):
    plain, other = _step(name, Computing()), _step(name, Computing(channels_last=True))
    assert plain[0] == pytest.approx(other[0], rel=1e-3, abs=1e-4)


def test_half_precision_is_near_and_not_the_same():
    plain, half = _step("hagan", Computing()), _step("hagan", Computing(precision="bfloat16"))
    assert plain[0] != half[0]
    assert plain[0] == pytest.approx(half[0], rel=0.1, abs=0.05)
    assert all(value.dtype == torch.float32 for value in half[1].values())


def test_wishes_go_before_what_is_usual():
    assert chosen(2, "cpu", None, None, False, False) is None
    assert usual(2, CPU) == Computing(channels_last=True, hold_memory=True)
    wished = Computing(precision="bfloat16", recompute=True, hold_memory=True)
    assert chosen(2, "cpu", "bfloat16", False, True, False) == wished


def test_a_run_goes_on_as_it_was_begun(volumes, tmp_path):
    recipe = changed(named("hagan").tiny(), {"total_kimg": 0.008})
    run = train(recipe, volumes, tmp_path, computing=Computing(recompute=True))
    assert run.computing["recompute"]
    longer = changed(recipe, {"total_kimg": 0.016})
    assert train(longer, volumes, tmp_path).computing == run.computing
    assert not train(longer, volumes, tmp_path, computing=Computing()).computing["recompute"]


def test_half_precision_volumes_on_a_cudnn_that_computes_them_wrongly_are_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    with pytest.raises(Refused, match="cuDNN 91002"):
        Computing(precision="bfloat16").check(3, torch.device("cuda"))
    Computing(precision="bfloat16").check(2, torch.device("cuda"))
    Computing(precision="float32").check(3, torch.device("cuda"))
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91600)
    Computing(precision="bfloat16").check(3, torch.device("cuda"))


def test_memory_is_held_on_a_processor_where_the_library_can():
    held = usual(3, CPU).hold_memory and usual(2, CPU).hold_memory
    assert held
    assert not usual(2, torch.device("cuda")).hold_memory
    assert hold_memory() == (platform.libc_ver()[0] == "glibc")


def test_a_library_that_knows_no_such_thing_is_left_alone(monkeypatch):
    def absent(name):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert hold_memory() is False
