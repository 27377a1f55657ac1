"""Every recipe, by name: trains, every parameter learns, resumes bit for bit, JSON, samples."""

import pytest
import torch

from ganatomy.channels import ONE_IMAGE, ImageChannel, LabelChannel, list_label_names
from ganatomy.checkpoint import open_snapshot
from ganatomy.errors import Refused
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe, read_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.sampling import sample
from ganatomy.training import loop
from ganatomy.training.callbacks import Intervals
from ganatomy.training.state import State
from ganatomy.training.train import train

CPU = torch.device("cpu")

# Some losses are differences of scores, so the bias of the score cancels out of them; only drift moves it.
SCORE, CODE_SCORE = "discriminator.tower.head.bias", "code_discriminator.head.bias"
LOST_IN_DIFFERENCES = {
    "mammogram": {"discriminator.head.bias"},
    "volume": {"discriminator.high.score.bias", "discriminator.low.head.bias"},
    "hagan-mammogram": {"discriminator.high.score.bias"},
    "relativistic": {"discriminator.base.head.bias"},
    "wgan": {SCORE},
    "wgan-gp": {SCORE},
    "alpha-gan": {SCORE, CODE_SCORE},
    "cce-gan": {SCORE, CODE_SCORE},
}


class Noise:
    """Batches of random images, for training without a store."""

    def __init__(self, recipe):
        self.space, self.kinds = recipe.condition_space, recipe.channels

    def read_batch(self, numbers, regions):
        generator = torch.Generator().manual_seed(numbers[0])
        sizes = [(r.depth or r.shape[0], *r.shape[1:]) for r in regions]
        images = tuple(self._draw(len(numbers), size, generator) for size in sizes)
        return images, self.space.encode([self.space.choose_facts({}, n) for n in numbers])

    def _draw(self, n, size, generator):
        image = torch.rand(n, 1, *size, generator=generator) * 2 - 1
        classes = len(list_label_names(self.kinds))
        if not classes:
            return image
        shares = torch.rand(n, classes, *size, generator=generator)
        return torch.cat((image, 2 * shares / shares.sum(1, keepdim=True) - 1), 1)


STEPS = 16  # enough for every parameter to move


def _short(name, kinds=ONE_IMAGE):
    """The tiny recipe, and shorter still."""
    recipe = get_recipe(name).make_tiny().replace(channels=kinds)
    parts = len(recipe.make_timetable())
    kimg = STEPS * recipe.plan_step(0, 0).batch_size / 1000
    return recipe.replace(total_kimg=kimg, strategy=recipe.strategy.change_stage_length(kimg / parts))


def _trained(name, kinds=ONE_IMAGE):
    recipe = _short(name, kinds)
    weights = {role: recipe.networks[role].build(recipe.space).state_dict() for role in recipe.pretrained_roles}
    state = State(recipe, 0, CPU, weights)
    before = {role: {k: v.clone() for k, v in p.named_parameters()} for role, p in state.networks.items()}
    terms = list(loop.run_steps(state, Noise(recipe), 0, lambda state: True))
    return state, before, terms


@pytest.fixture
def where(request, name):
    """What a recipe trains on: a store of its kind, and a finished generator if it needs one."""
    recipe = get_recipe(name).make_tiny()
    store = request.getfixturevalue("store" if len(recipe.shape) == 2 else "volumes")
    given = {"generator": request.getfixturevalue("hagan").path} if recipe.pretrained_roles else {}
    return {"store": store, **given}


@pytest.mark.parametrize("name", RECIPES)
def test_trains_with_finite_losses_and_every_parameter_learns(name):
    state, before, terms = _trained(name)
    assert state.images >= state.recipe.total_images
    assert all(torch.isfinite(value) for step in terms for value in step.values())
    still = {
        f"{role}.{key}"
        for role, player in state.networks.items()
        for key, value in player.named_parameters()
        if torch.equal(value, before[role][key])
    }
    frozen = {f"{role}.{key}" for role in state.recipe.pretrained_roles for key in before[role]}
    assert still == frozen | LOST_IN_DIFFERENCES.get(name, set())
    if name not in ("pggan-mammogram", "gan-mammogram", "wgan-mammogram"):
        return
    moved = state.networks["discriminator"].blocks[0].head.bias[0].item() != 0
    assert moved == (name != "wgan-mammogram")


FAMILIES = ("pggan-mammogram", "hagan", "hagan-encoder", "vae-gan")  # the others are slow
EVERY = [pytest.param(name, marks=() if name in FAMILIES else pytest.mark.slow) for name in RECIPES]


PAIR = (ImageChannel(), LabelChannel(classes=("lung",)))


@pytest.mark.parametrize("name", EVERY)
def test_learns_pairs_of_an_image_and_shares_of_classes(name):
    state, before, terms = _trained(name, PAIR)
    assert all(torch.isfinite(value) for step in terms for value in step.values())
    weights = dict(state.networks["generator"].named_parameters())
    if "generator" not in state.recipe.pretrained_roles:
        assert any(not torch.equal(value, before["generator"][key]) for key, value in weights.items())
    recipe = state.recipe
    generator = state.networks["generator"].eval()
    with torch.no_grad():
        z, blank = torch.randn(2, recipe.latent), recipe.condition_space.make_blank(2)
        (made,) = generator(z, blank, recipe.get_final_scope())
    assert made.shape == (2, 3, *recipe.shape)
    shares = (made[:, 1:] + 1) / 2
    assert shares.min() >= 0
    torch.testing.assert_close(shares.sum(1), torch.ones(2, *recipe.shape))
    assert shares[:, 0].std() > 0


@pytest.mark.parametrize("name", EVERY)
def test_resumes_bit_for_bit_and_samples_the_whole_image(name, where, tmp_path):
    recipe = _short(name)
    part = recipe.total_kimg / 5
    often = Intervals(tick_kimg=part, grid_kimg=4 * part, snapshot_kimg=4 * part, checkpoint_kimg=2 * part)
    whole = train(recipe, out=tmp_path / "whole", intervals=often, **where)
    half = recipe.replace(total_kimg=recipe.total_kimg / 2)
    first = train(half, out=tmp_path / "parts", intervals=often, **where)
    second = train(recipe, out=tmp_path / "parts", intervals=often, **where)
    assert first.path == second.path
    a, b = whole.load_newest_checkpoint(), second.load_newest_checkpoint()
    assert a[1]["counts"] == b[1]["counts"]
    assert a[0].keys() == b[0].keys()
    for file in a[0]:
        assert a[0][file].keys() == b[0][file].keys()
        for key in a[0][file]:
            assert torch.equal(a[0][file][key], b[0][file][key]), (file, key)
    snapshot = open_snapshot(second.list_snapshots()[-1])
    assert snapshot.is_full_size
    images = [image for image, _ in sample(snapshot, 3, seed=1)]
    assert {image.pixels.shape for image in images} == {recipe.shape}
    assert all(-1 <= image.pixels.min() <= image.pixels.max() <= 1 for image in images)
    alone = next(iter(sample(snapshot, 1, seed=1, first=2)))[0]
    assert (alone.pixels == images[2].pixels).all()


@pytest.mark.parametrize("name", RECIPES)
def test_goes_to_json_and_back(name):
    recipe = get_recipe(name)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.name == name


def test_a_partial_override_keeps_the_sibling_defaults():
    recipe = change_recipe(get_recipe("pggan-mammogram"), {"optimizers.generator.betas": [0.5, 0.9]})
    assert recipe.optimizers["generator"].lr == get_recipe("pggan-mammogram").optimizers["generator"].lr


def test_a_recipe_file_is_merged_onto_the_complete_base(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("base: pggan-mammogram\nstrategy: {fade_kimg: 5}\noptimizers: {generator: {lr: 0.001}}\n")
    recipe = read_recipe(file, {name: make() for name, make in RECIPES.items()})
    base = get_recipe("pggan-mammogram")
    assert recipe.strategy.fade_kimg == 5
    assert recipe.strategy.batch_sizes == base.strategy.batch_sizes
    assert recipe.optimizers["generator"].lr(0) == 0.001
    assert recipe.optimizers["generator"].betas == base.optimizers["generator"].betas
    assert recipe.optimizers["discriminator"] == base.optimizers["discriminator"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy.fade_kmg": 3}, "did you mean fade_kimg"),
        ({"strategy.fade_kimg": -3}, "greater than 0"),
        ({"objectives.0.terms.9.weight": 1}, "entries 0 to 3"),
        ({"nonsense": 1}, "not in the recipe"),
    ],
)
def test_wrong_changes_are_refused_with_a_hint(changes, words):
    with pytest.raises(Refused, match=words):
        change_recipe(get_recipe("pggan-mammogram"), changes)
