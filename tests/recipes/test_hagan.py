"""The quirks of `hagan-2022`, what its ablations remove, the class condition, and training the encoder afterwards."""

import pytest
import torch

from ganatomy.checkpoint import open_snapshot
from ganatomy.errors import Refused
from ganatomy.objectives.phase import Batch
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.steps.condition import UNCONDITIONAL
from ganatomy.steps.hierarchy import compute_sub_volume_depth
from ganatomy.steps.scope import SubVolumeScope
from ganatomy.training import loop
from ganatomy.training.state import State
from ganatomy.training.train import train

CPU = torch.device("cpu")


def _starts(name, steps=200, shape=(256, 256, 256)):
    recipe = get_recipe(name).resize(shape)
    return [recipe.plan_step(4 * step, 0).scope.start for step in range(steps)]


def test_the_selector_of_the_authors_code_draws_any_plane():
    starts = _starts("hagan-2022", 4000)
    assert min(starts) == 0
    assert max(starts) == 224
    assert len(set(starts)) == 225


def test_ours_draws_multiples_of_four_so_that_features_and_reals_are_one_sub_volume():
    assert set(_starts("hagan", 2000)) == set(range(0, 225, 4))


def test_the_start_is_a_function_of_the_seed_and_the_count():
    assert _starts("hagan") == _starts("hagan")
    assert get_recipe("hagan").plan_step(8, 1) == get_recipe("hagan").plan_step(8, 1)
    assert [get_recipe("hagan").plan_step(4 * i, 1).scope.start for i in range(50)] != _starts("hagan", 50)


def test_low_resolution_targets_every_fourth_voxel_or_the_mean():
    volume = torch.arange(32.0**3).view(1, 1, 32, 32, 32)
    nearest, mean = (SubVolumeScope((32, 32, 32), 4, 4, low, whole=True).crop(volume)[1] for low in ("nearest", "mean"))
    assert torch.equal(nearest, volume[:, :, ::4, ::4, ::4])
    assert mean[0, 0, 0, 0, 0] == volume[0, 0, :4, :4, :4].mean()


def test_what_is_read_gives_the_same_sub_volume_as_the_whole():
    volume = torch.rand(2, 1, 32, 32, 32)
    whole, part = SubVolumeScope((32, 32, 32), 8, 4, "mean", whole=True), SubVolumeScope((32, 32, 32), 8, 4, "mean")
    regions = [volume[:, :, 8:12], torch.nn.functional.avg_pool3d(volume, 4)]
    for a, b in zip(whole.crop(volume), part.crop(*regions), strict=True):
        torch.testing.assert_close(a, b)


def test_one_loss_on_the_mean_of_two_scores_or_two_losses():
    """The authors' code against the paper's figure: softplus of the mean is not the sum of softplus."""
    recipe = get_recipe("hagan-2022").make_tiny()
    state = State(recipe, 0, CPU)
    apart = change_recipe(recipe, {"networks.discriminator.scores": "apart"}).build()["discriminator"].eval()
    averaged = state.networks["discriminator"].eval()
    apart.load_state_dict(averaged.state_dict())
    scope = recipe.plan_step(0, 0).scope
    images = scope.crop(torch.rand(3, 1, *recipe.shape))
    one, two = (d(images, UNCONDITIONAL.make_blank(3), scope).scores for d in (averaged, apart))
    assert one.shape == (3,)
    assert two.shape == (3, 2)
    torch.testing.assert_close(one, two.mean(1))


# ----------------------------------------------------------------------------------------------------------------------
# Ablations: each really removes what it says, and nothing else.


def _rest(recipe):
    return recipe.model_dump(exclude={"name", "networks", "objectives", "strategy", "optimizers"})


def test_without_the_low_resolution_branch():
    full, without = get_recipe("hagan-2022"), get_recipe("hagan-no-low")
    players = without.make_tiny().build()
    assert not [
        key for role in ("generator", "discriminator") for key in players[role].state_dict() if key.startswith("low")
    ]
    scope = without.make_tiny().plan_step(0, 0).scope
    assert len(scope.crop(torch.rand(1, 1, *without.make_tiny().shape))) == 1
    assert len(players["generator"](torch.randn(1, 16), UNCONDITIONAL.make_blank(1), scope)) == 1
    assert _rest(full) == _rest(without)
    assert full.objectives == without.objectives


def test_without_the_encoders():
    full, without = get_recipe("hagan-2022"), get_recipe("hagan-no-encoder")
    assert set(full.networks) - set(without.networks) == {"high_encoder", "ground_encoder"}
    assert [phase.name for phase in without.build_phases()] == ["discriminator", "generator"]
    assert without.networks == {role: full.networks[role] for role in without.networks}
    assert without.strategy == full.strategy


def test_with_a_deterministic_selector():
    full, fixed = get_recipe("hagan-2022"), get_recipe("hagan-deterministic")
    assert _starts("hagan-deterministic", 16) == [32 * i for i in range(8)] * 2
    assert full.replace(name=fixed.name, strategy=fixed.strategy) == fixed


def test_the_encoders_never_change_the_generator():
    """The published phases step one encoder each, so the generator is the same bit for bit with and without them."""

    class Noise:
        def read_batch(self, numbers, regions):
            generator = torch.Generator().manual_seed(numbers[0])
            images = torch.rand(len(numbers), 1, 32, 32, 32, generator=generator)
            return (images,), UNCONDITIONAL.make_blank(len(numbers))

    made = []
    for name in ("hagan-2022", "hagan-no-encoder"):
        state = State(get_recipe(name).make_tiny(), 0, CPU)
        torch.manual_seed(0)
        weights = get_recipe("hagan-no-encoder").make_tiny().build().state_dict()
        state.networks.load_state_dict(weights, strict=False)
        list(loop.run_steps(state, Noise(), 0, lambda state: state.steps < 5))
        made.append(state.networks["generator"].state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])


# ----------------------------------------------------------------------------------------------------------------------
# Objectives.


def test_shared_fakes_are_those_that_the_discriminator_saw():
    recipe = get_recipe("hagan").make_tiny()
    state = State(recipe, 0, CPU)
    scope = recipe.plan_step(0, 0).scope
    read = tuple(torch.rand(2, 1, *((r.depth or r.shape[0]), *r.shape[1:])) for r in scope.regions)
    draw = Batch(read, UNCONDITIONAL.make_blank(2), scope, 0, range(2))
    seen = []
    state.networks["discriminator"].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for phase in recipe.build_phases():
        loop.run_update(phase, state, [draw])
    reals_d, fakes_d, fakes_g = seen
    assert torch.equal(reals_d[0], draw.real[0])
    assert torch.equal(fakes_d[0], fakes_g[0])
    assert not fakes_d[0].requires_grad
    assert fakes_g[0].requires_grad


def test_a_class_condition_reaches_generator_and_discriminator(volumes, tmp_path):
    values = volumes.manifest.conditions["emphysema"]
    assert values == ("mild", "none", "severe")
    recipe = change_recipe(
        get_recipe("hagan").make_tiny(), {"conditions": {"emphysema": list(values)}, "total_kimg": 0.04}
    )
    run = train(recipe, volumes, tmp_path)
    generator = open_snapshot(run.list_snapshots()[-1]).load_network("generator", CPU)
    z = torch.randn(1, 16)
    conditions = (recipe.condition_space.encode([{"emphysema": value}]) for value in values[:2])
    first, second = (generator(z, condition, recipe.get_final_scope())[0] for condition in conditions)
    assert (first - second).abs().max() > 0


def test_the_encoder_needs_a_generator_and_takes_over_its_widths(hagan, volumes, tmp_path):
    with pytest.raises(Refused, match="give --generator RUN"):
        train("hagan-encoder", volumes, tmp_path)
    with pytest.raises(Refused, match="trains its own generator"):
        train(get_recipe("hagan").make_tiny(), volumes, tmp_path, generator=hagan.path)
    recipe = change_recipe(get_recipe("hagan-encoder"), {"total_kimg": 0.016})
    run = train(recipe, volumes, tmp_path, generator=hagan.path)
    assert run.recipe.shape == (32, 32, 32)
    assert run.recipe.networks["high_encoder"].features == 8
    given = open_snapshot(hagan.list_snapshots()[-1]).weights["generator"]
    kept = open_snapshot(run.list_snapshots()[-1], None).weights
    assert all(torch.equal(given[key], kept["generator"][key]) for key in given)
    assert {"generator", "high_encoder", "ground_encoder"} == set(kept)


@pytest.mark.parametrize("shape", [(40, 32, 32), (40, 32), (8, 8, 8), (32,)])
def test_shapes_that_cannot_be_made_are_refused(shape):
    with pytest.raises(Refused, match="multiple of 16" if len(shape) > 1 else "three for volumes"):
        get_recipe("hagan").resize(shape)


@pytest.mark.parametrize("depth", range(16, 513, 16))
def test_sub_volumes_divide_the_volume(depth):
    n = compute_sub_volume_depth(depth)
    assert n % 4 == 0
    assert depth % n == 0
    assert 1 / 16 <= n / depth <= 1 / 4
