"""Beginning from the weights of another model: what is taken, what is not, what stays frozen, and going on exactly."""

import json

import pytest
import torch

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.steps.condition import ConditionSpace
from ganatomy.training.callbacks import Intervals
from ganatomy.training.state import State
from ganatomy.training.train import train
from ganatomy.training.warm_start import _find_condition_axes, plan_warm_start

CPU = torch.device("cpu")
VALUES = {"emphysema": ["mild", "none", "severe"]}
VALUES_SPACE = ConditionSpace(VALUES)
SHORT = {"total_kimg": 0.04}
OFTEN = Intervals(tick_kimg=0.02, grid_kimg=0.04, snapshot_kimg=0.02, checkpoint_kimg=0.02)


@pytest.fixture(scope="module")
def conditioned(volumes, tmp_path_factory):
    """A run of the tiny `hagan`, conditioned on three classes."""
    recipe = change_recipe(get_recipe("hagan").make_tiny(), {"conditions": VALUES, **SHORT})
    return train(recipe, volumes, tmp_path_factory.mktemp("conditioned"))


def _begin(recipe, run):
    snapshot = open_snapshot(find_snapshot(run.path), None)
    start, state = plan_warm_start(recipe, snapshot), State(recipe, 5, CPU)
    start.apply_to(state)
    return start, state, snapshot


def test_a_model_of_the_same_recipe_is_taken_whole(conditioned):
    start, state, snapshot = _begin(conditioned.recipe, conditioned)
    for role, network in state.networks.items():
        assert not start.roles[role].new
        assert all(torch.equal(tensor, snapshot.weights[role][name]) for name, tensor in network.state_dict().items())
    average = state.ema.state_dict()
    assert all(torch.equal(average[name], snapshot.weights["generator"][name]) for name in average)


@pytest.mark.parametrize("conditions", [{"emphysema": ["severe", "none"]}, {"kernel": ["soft"], **VALUES}])
def test_columns_of_the_same_fact_and_value_are_carried_over(conditioned, conditions):
    """Asked for what both models know, the generator makes the same image; the row of a label is the same."""
    recipe = conditioned.recipe.replace(conditions=conditions)
    start, state, snapshot = _begin(recipe, conditioned)
    assert set(start.roles["generator"].partial) == {"common.dense.weight"}
    assert {"high.labels.weight", "low.head.bias"} <= set(start.roles["discriminator"].partial)
    assert not start.roles["discriminator"].new
    places = [one.columns.index(("emphysema", "severe")) for one in (recipe.condition_space, VALUES_SPACE)]
    labels = [
        networks["high.labels.weight"]
        for networks in (state.networks["discriminator"].state_dict(), snapshot.weights["discriminator"])
    ]
    assert torch.equal(*(rows[place] for rows, place in zip(labels, places, strict=True)))
    network = snapshot.load_network("generator", CPU)
    facts = {"emphysema": "severe"}
    space = recipe.condition_space
    mine = space.encode([space.choose_facts(facts, 0)])
    if "kernel" in conditions:
        mine.categories[:, space.columns.index(("kernel", "soft"))] = 0  # a column that the other model does not know
    theirs = snapshot.recipe.condition_space.encode([facts])
    z, scope = torch.randn(1, recipe.latent), recipe.plan_step(0, 0).scope
    with torch.inference_mode():
        made = state.networks["generator"](z, mine, scope)
        for one, other in zip(made, network(z, theirs, scope), strict=True):
            torch.testing.assert_close(one, other)


def test_conditions_of_equal_width_are_not_mixed_up(conditioned):
    start, state, snapshot = _begin(conditioned.recipe.replace(conditions={"kernel": ["a", "b", "c"]}), conditioned)
    assert start.roles["generator"].partial["common.dense.weight"].known == 0
    dense, theirs = (
        state.networks["generator"].common.dense.weight,
        snapshot.weights["generator"]["common.dense.weight"],
    )
    assert torch.equal(dense[:, :-3], theirs[:, :-3])
    assert not (dense[:, -3:] == theirs[:, -3:]).any()
    assert start.roles["discriminator"].new == ("high.labels.weight", "high.labels.bias", "high.labels.u")


def test_a_model_without_conditions_gives_all_but_the_columns(hagan, conditioned):
    start, *_ = _begin(conditioned.recipe, hagan)
    assert start.roles["generator"].partial["common.dense.weight"].known == 0
    assert not start.roles["generator"].new
    back, *_ = _begin(hagan.recipe, conditioned)
    assert set(back.roles["generator"].partial) == {"common.dense.weight"}
    assert not back.roles["discriminator"].new


@pytest.mark.parametrize("name", RECIPES)
def test_the_condition_is_behind_the_code_and_the_labels_behind_the_score(name):
    """With equal entries for two values, the generator makes one image of both, and both logits are the same."""
    recipe = get_recipe(name).make_tiny().replace(conditions={"a": ("0", "1")})
    torch.manual_seed(0)
    networks, axes = recipe.build().eval(), _find_condition_axes(recipe)
    assert axes["generator"]
    conditions = [recipe.condition_space.encode([{"a": value}]) for value in "01"]
    scope, z = recipe.get_sampling_scope(recipe.total_images), torch.randn(1, recipe.latent)

    def compute_difference():
        with torch.inference_mode():
            one, other = (networks["generator"](z, condition, scope)[0] for condition in conditions)
            return (one - other).abs().max().item()

    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)  # some networks begin with zeros
    assert compute_difference() > 1e-3
    with torch.no_grad():
        for role, found in axes.items():
            tensors = networks[role].state_dict()
            for tensor_name, axis in found.items():
                last = tensors[tensor_name].shape[axis] - 1
                tensors[tensor_name].select(axis, last).copy_(tensors[tensor_name].select(axis, last - 1))
    assert compute_difference() < 1e-4  # rounding
    if "discriminator" in networks:
        step = recipe.plan_step(recipe.total_images, 0).scope
        images = step.crop(*(torch.rand(4, 1, *((r.depth or r.shape[0]), *r.shape[1:])) for r in step.regions))
        with torch.inference_mode():
            answer, other = (
                networks["discriminator"](images, recipe.condition_space.encode([{"a": value}] * 4), step)
                for value in "01"
            )
        if answer.labels.shape[1]:
            torch.testing.assert_close(answer.labels[:, 0], answer.labels[:, 1])
            assert answer.labels.any()
        else:  # it judges the condition within its scores
            assert axes["discriminator"]
            torch.testing.assert_close(answer.scores, other.scores)


def test_a_growing_recipe_begins_at_a_level(run, store, tmp_path):
    small = run.recipe
    recipe = change_recipe(small.replace(shape=(40, 32)), {"strategy.first_level": 2, "total_kimg": 0.016})
    start, state, snapshot = _begin(recipe, run)
    assert not start.roles["generator"].partial
    assert all(name.startswith(("blocks.3", "to_image.3")) for name in start.roles["generator"].new)
    condition = recipe.condition_space.encode([{"view_position": "CC"}])
    z = torch.randn(1, recipe.latent)
    with torch.inference_mode():
        made = state.networks["generator"](z, condition, recipe.plan_step(0, 0).scope)[0]
        wanted = snapshot.load_network("generator", CPU)(z, condition, small.get_final_scope())[0]
    torch.testing.assert_close(made, wanted)
    assert train(recipe, store, tmp_path, begin_from=run.path).recipe.plan_step(0, 0).scope.level == 2


@pytest.mark.ci
def test_killed_and_resumed_it_is_the_same_and_the_run_tells_its_origin(conditioned, volumes, tmp_path, monkeypatch):
    recipe = conditioned.recipe
    whole = train(recipe, volumes, tmp_path / "whole", 3, intervals=OFTEN, begin_from=conditioned.path)
    half = recipe.replace(total_kimg=0.02)
    first = train(half, volumes, tmp_path / "parts", 3, intervals=OFTEN, begin_from=conditioned.path)
    second = train(recipe, volumes, tmp_path / "parts", 3, intervals=OFTEN, begin_from=conditioned.path)
    assert first.path == second.path
    (a, counts), (b, others) = whole.load_newest_checkpoint(), second.load_newest_checkpoint()
    assert counts["counts"] == others["counts"]
    assert all(torch.equal(a[file][key], b[file][key]) for file in a for key in a[file])
    scratch = train(recipe, volumes, tmp_path / "parts", 3)
    assert scratch.path != second.path
    c, _ = scratch.load_newest_checkpoint()
    assert not torch.equal(a["generator"]["low.head.weight"], c["generator"]["low.head.weight"])
    digest = open_snapshot(find_snapshot(conditioned.path)).digest
    assert second.given.began_from["snapshot_sha256"] == digest
    assert second.given.began_from["trained_on"] == volumes.manifest.fingerprint
    third = train(half, volumes, tmp_path, 4, begin_from=second.path)
    told = json.loads((find_snapshot(third.path) / "meta.json").read_text())["began_from"]
    assert told["snapshot_sha256"] == open_snapshot(find_snapshot(second.path)).digest
    assert told["began_from"]["snapshot_sha256"] == digest  # the whole line of ancestors
    with pytest.raises(Refused, match=r"is a run of another beginning \(--from\)"):
        train(recipe, volumes, second.path, 3)


FROZEN = ("discriminator.high.tower.convs.0", "discriminator.low.convs", "generator.common.blocks.0.norm.weight")


def test_frozen_parts_stay_as_they_were_and_all_else_learns(conditioned, volumes, tmp_path):
    recipe = conditioned.recipe.replace(frozen=FROZEN, total_kimg=0.02)
    run = train(recipe, volumes, tmp_path, begin_from=conditioned.path)
    before = open_snapshot(find_snapshot(conditioned.path), None).weights
    after, _ = run.load_newest_checkpoint()
    for role in ("generator", "discriminator"):
        for name, tensor in before[role].items():
            if name == "high.score.u":
                continue  # the one number of a unit vector
            is_frozen = f"{role}.{name}.".startswith(tuple(f"{part}." for part in FROZEN))
            assert torch.equal(tensor, after[role][name]) == is_frozen, (role, name)


def test_clipping_leaves_frozen_weights_alone(run, store, tmp_path):
    part = "discriminator.blocks.0.dense"
    recipe = change_recipe(get_recipe("wgan-mammogram").make_tiny(), {"frozen": [part], "total_kimg": 0.016})
    before = open_snapshot(find_snapshot(run.path), None).weights["discriminator"]["blocks.0.dense.weight"]
    assert before.abs().max() > 0.5  # beyond the limit
    after, _ = train(recipe, store, tmp_path, begin_from=run.path).load_newest_checkpoint()
    assert torch.equal(after["discriminator"]["blocks.0.dense.weight"], before)
    assert after["discriminator"]["blocks.1.conv.weight"].abs().max() <= 0.5


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--from {store}", "neither a snapshot nor a run"),
        ("--from {other}", "No tensor of"),
        ("--from {run} --freeze discriminator.hgh", "discriminator has no part 'hgh'; did you mean high?"),
        ("--from {run} --freeze critic.high", "the model has no part 'critic'; there are: generator, discriminator"),
        ("--from {run} --freeze discriminator", "the whole discriminator is frozen"),
        ("--from {run} --freeze discriminator.high --freeze discriminator.low", "the whole discriminator is frozen"),
        ("--freeze discriminator.low", "discriminator.low would keep random weights; give trained weights: --from"),
    ],
)
def test_mistakes(flags, words, hagan, run, volumes, tmp_path, capsys):
    places = {"store": volumes.path, "other": run.path, "run": hagan.path}
    assert main(f"train hagan {volumes.path} --tiny --out {tmp_path / 'x'} {flags.format(**places)}".split()) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_the_command_says_what_is_taken(conditioned, volumes, tmp_path, capsys):
    line = f"train hagan {volumes.path} --tiny --set total_kimg=0.008 --from {conditioned.path} --out {tmp_path}"
    assert main([*line.split(), "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert "generator            37 of 38 tensors taken over; 1 but for conditions: common.dense.weight\n" in dry
    assert not list(tmp_path.iterdir())
    assert main(line.split()) == 0
    assert "from        " in capsys.readouterr().out
    assert main([*line.split(), "--processes", "2"]) == 0
