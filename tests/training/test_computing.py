"""How a run is computed changes its speed and memory, not its result; what computes wrongly is refused."""

import ctypes
import platform
import time

import pytest
import torch

from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.machine import bfloat16, progress
from ganatomy.machine.device import keep_freed_memory
from ganatomy.nn.layout import CHANNELS_LAST
from ganatomy.objectives.phase import Batch
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.steps.condition import UNCONDITIONAL
from ganatomy.training import computing
from ganatomy.training.computing import ComputeSettings, get_default_settings, override_settings
from ganatomy.training.distributed import check_pieces
from ganatomy.training.loop import run_update
from ganatomy.training.plan import change_batch_size
from ganatomy.training.state import State
from ganatomy.training.train import train

CPU = torch.device("cpu")


def _step(name, computing, batch=2):
    """Losses and generator weights after one step."""
    recipe = get_recipe(name).make_tiny()
    ndim = len(recipe.shape)
    torch.manual_seed(0)
    given = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
    state = State(
        recipe, 0, CPU, given, layout=computing.get_layout(ndim), scale_losses=computing.precision == "float16"
    )
    computing.apply_to(state.networks, ndim)
    scope = recipe.plan_step(0, 0).scope
    generator = torch.Generator().manual_seed(0)
    sizes = [((r.depth or r.shape[0]), *r.shape[1:]) for r in scope.regions]
    read = tuple(torch.rand(batch, 1, *size, generator=generator) * 2 - 1 for size in sizes)
    space = recipe.condition_space
    condition = space.encode([space.choose_facts({}, i) for i in range(batch)])
    losses = []
    for phase in recipe.build_phases():
        n = computing.micro_batches
        pieces = [Batch(tuple(r[i::n] for r in read), condition[i::n], scope, 0, range(batch)[i::n]) for i in range(n)]
        terms = run_update(phase, state, pieces, computing)
        losses += [float(value) for value in terms.values()]
    return losses, {key: value.clone() for key, value in state.networks["generator"].state_dict().items()}


@pytest.mark.parametrize("name", ["hagan", "pggan-mammogram"])
def test_recomputed_activations_give_the_same_weights(name):
    plain, again = _step(name, ComputeSettings()), _step(name, ComputeSettings(recompute=True))
    assert plain[0] == again[0]
    assert plain[1].keys() == again[1].keys()
    for key in plain[1]:  # not always the same bits: oneDNN chooses kernels by where memory happens to lie
        torch.testing.assert_close(plain[1][key], again[1][key], rtol=1e-5, atol=1e-6)


def test_recomputation_keeps_fewer_tensors():
    recipe = get_recipe("hagan").resize((64, 64, 64))
    kept = []
    for recompute in (False, True):
        with torch.device("meta"):
            players = recipe.build()
        ComputeSettings(recompute=recompute).apply_to(players, 3)
        sizes = {}

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
            return tensor

        players["discriminator"].requires_grad_(False)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            made = players["generator"](
                torch.empty(4, 1024, device="meta"),
                UNCONDITIONAL.make_blank(4).to("meta"),
                recipe.plan_step(0, 0).scope,
            )
        weights = sum(p.numel() * 4 for p in players["generator"].parameters())
        kept.append(sum(sizes.values()) - weights)
        del made
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("name", ["hagan", "pggan-mammogram"])
def test_the_memory_layout_changes_rounding_only(name):
    plain, other = _step(name, ComputeSettings()), _step(name, ComputeSettings(channels_last=True))
    assert plain[0] == pytest.approx(other[0], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", RECIPES)
def test_the_layout_of_a_card_suits_every_network(name):
    recipe = get_recipe(name).make_tiny()
    ndim = len(recipe.shape)
    settings = get_default_settings(ndim, torch.device("cuda")).replace(channels_last=True)
    given = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
    state = State(recipe, 0, CPU, given, layout=settings.get_layout(ndim))
    settings.apply_to(state.networks, ndim)
    layout = CHANNELS_LAST[ndim]
    kernels = [p for p in state.networks.parameters() if p.ndim == ndim + 2]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)


@pytest.mark.parametrize("name", ["stylegan2", "relativistic", "autoregressive"])
def test_recipes_with_weights_of_other_axes_train_with_the_channels_last(name, volumes, tmp_path):
    words = f"train {name} {volumes.path} --out {tmp_path} --tiny --shape 32,32,32 --set total_kimg=0.004 --quiet"
    assert main([*words.split(), "--channels-last", "True", "--precision", "float32"]) == 0


def test_half_precision_is_near_and_not_the_same():
    plain, half = _step("hagan", ComputeSettings()), _step("hagan", ComputeSettings(precision="bfloat16"))
    assert plain[0] != half[0]
    assert plain[0] == pytest.approx(half[0], rel=0.1, abs=0.05)
    assert all(value.dtype == torch.float32 for value in half[1].values())


def test_on_a_card_images_have_their_channels_last_and_volumes_do_not():
    card = torch.device("cuda")
    assert get_default_settings(2, card).channels_last
    assert not get_default_settings(3, card).channels_last


def test_wishes_go_before_what_is_usual():
    usual = get_default_settings(2, CPU)
    assert override_settings(usual, precision=None, recompute=None) == usual
    assert usual == ComputeSettings(channels_last=True, hold_memory=True)
    wished = ComputeSettings(precision="bfloat16", recompute=True, hold_memory=True)
    assert override_settings(usual, precision="bfloat16", channels_last=False, recompute=True) == wished


@pytest.fixture
def gain(monkeypatch):
    """A function that sets how much faster bfloat16 is on this processor, which knows it."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)

    def set_gain(found):
        computing._is_bfloat16_faster.cache_clear()
        monkeypatch.setattr(computing, "measure_bfloat16_gain", lambda: found)

    yield set_gain
    computing._is_bfloat16_faster.cache_clear()


@pytest.mark.parametrize(("found", "precision"), [(0.67, "float32"), (1.05, "float32"), (1.4, "bfloat16")])
def test_volumes_are_computed_in_what_is_faster_on_this_processor(gain, capsys, found, precision):
    gain(found)
    progress.quiet = False
    assert get_default_settings(3, CPU).precision == precision
    assert f"{found:.2f} times as fast as in float32" in capsys.readouterr().out
    assert get_default_settings(3, CPU).precision == precision
    assert capsys.readouterr().out == ""  # said once
    assert get_default_settings(2, CPU).precision == "float32"


def test_the_gain_of_bfloat16_is_measured_in_about_a_second():
    bfloat16._measure_gain.cache_clear()
    before, state = time.process_time(), torch.get_rng_state()
    assert 0.02 < bfloat16.measure_bfloat16_gain() < 50
    assert time.process_time() - before < 10  # about one on an idle core
    assert torch.equal(state, torch.get_rng_state())


def test_a_run_keeps_its_precision_where_the_processor_would_choose_another_now(gain, volumes, tmp_path):
    recipe = change_recipe(get_recipe("hagan").make_tiny(), {"total_kimg": 0.008})
    gain(1.4)
    assert train(recipe, volumes, tmp_path).computing["precision"] == "bfloat16"
    gain(0.6)
    longer = change_recipe(recipe, {"total_kimg": 0.016})
    again = train(longer, volumes, tmp_path, computing={"micro_batches": 2})
    assert (again.computing["precision"], again.computing["micro_batches"]) == ("bfloat16", 2)


def test_a_run_goes_on_as_it_was_begun(volumes, tmp_path):
    recipe = change_recipe(get_recipe("hagan").make_tiny(), {"total_kimg": 0.008})
    run = train(recipe, volumes, tmp_path, computing=ComputeSettings(recompute=True))
    assert run.computing["recompute"]
    longer = change_recipe(recipe, {"total_kimg": 0.016})
    assert train(longer, volumes, tmp_path).computing == run.computing
    assert not train(longer, volumes, tmp_path, computing=ComputeSettings()).computing["recompute"]


def test_half_precision_volumes_on_a_cudnn_that_computes_them_wrongly_are_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    with pytest.raises(Refused, match="cuDNN 91002"):
        ComputeSettings(precision="bfloat16").check(3, torch.device("cuda"))
    ComputeSettings(precision="bfloat16").check(2, torch.device("cuda"))
    ComputeSettings(precision="float32").check(3, torch.device("cuda"))
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91600)
    ComputeSettings(precision="bfloat16").check(3, torch.device("cuda"))


def test_memory_is_held_on_a_processor_where_the_library_can():
    held = get_default_settings(3, CPU).hold_memory and get_default_settings(2, CPU).hold_memory
    assert held
    assert not get_default_settings(2, torch.device("cuda")).hold_memory
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_a_library_that_knows_no_such_thing_is_left_alone(monkeypatch):
    def absent(name):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert keep_freed_memory() is False


FAMILIES = ("hagan", "wgan", "vae", "pggan-mammogram", "stylegan2", "relativistic")  # the others are slow
EVERY = [pytest.param(name, marks=() if name in FAMILIES else pytest.mark.slow) for name in RECIPES]


@pytest.mark.parametrize("name", EVERY)
def test_micro_batches_change_rounding_only_at_the_recipes_own_batch_or_are_refused(name):
    recipe, pieces = get_recipe(name), 2
    batch = min(step.batch_size for _, step in recipe.make_timetable())
    plain, cut = _step(name, ComputeSettings(), batch), _step(name, ComputeSettings(micro_batches=pieces), batch)
    apart = torch.cat([(value - cut[1][key]).abs().flatten() for key, value in plain[1].items()])
    alike = plain[0] == pytest.approx(cut[0], rel=1e-4, abs=1e-5)
    alike &= bool(apart.quantile(0.98) < 1e-5)  # Adam's first step is of one size: at a gradient of 0 rounding decides
    if alike:
        check_pieces(recipe, 1, pieces)
        return
    with pytest.raises(Refused, match=rf"--micro-batches {pieces} would change the result of {name}: its"):
        check_pieces(recipe, 1, pieces)


@pytest.mark.parametrize("name", ["gan-mammogram", "stylegan2"])
def test_micro_batches_that_keep_compared_images_together_change_rounding_only(name):
    pieces = 2
    batch = 4 * pieces  # a group of four in each piece
    assert change_batch_size(get_recipe(name), batch).find_split_problem(pieces) is None
    plain, cut = _step(name, ComputeSettings(), batch), _step(name, ComputeSettings(micro_batches=pieces), batch)
    assert plain[0] == pytest.approx(cut[0], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["hagan", "pggan-mammogram"])
def test_float16_with_scaled_losses_is_near_and_weights_stay_float32(name):
    plain, half = _step(name, ComputeSettings()), _step(name, ComputeSettings(precision="float16"))
    assert plain[0] != half[0]
    assert plain[0] == pytest.approx(half[0], rel=0.05, abs=0.02)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in half[1].values())


def test_an_update_that_overflows_is_left_out_and_the_scale_is_halved_and_kept(volumes, tmp_path, monkeypatch):
    recipe = change_recipe(get_recipe("hagan").make_tiny(), {"total_kimg": 0.016})
    monkeypatch.setattr("ganatomy.training.state.INITIAL_LOSS_SCALE", 2.0**127)  # float32 ends at 2**128
    run = train(recipe, volumes, tmp_path, computing=ComputeSettings(precision="float16"))
    scaler = run.load_newest_checkpoint()[1]["counts"]["scaler"]
    assert scaler["scale"] < 2.0**127
    state = State(recipe, 0, CPU, scale_losses=True)
    state.load(run.load_newest_checkpoint()[0], run.load_newest_checkpoint()[1]["counts"])
    assert state.scaler.get_scale() == scaler["scale"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_parts_change_rounding_only():
    plain, compiled = _step("hagan", ComputeSettings()), _step("hagan", ComputeSettings(compiled=True))
    assert plain[0] == pytest.approx(compiled[0], rel=1e-3, abs=1e-4)
