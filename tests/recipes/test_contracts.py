"""A network that no shared part knows trains, fits, resumes and samples; one line each registers it."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from ganatomy.checkpoint import open_snapshot
from ganatomy.encoding import check_encoder
from ganatomy.errors import Refused
from ganatomy.networks.config import NetworkConfig
from ganatomy.networks.progressive import ProgressiveGenerator
from ganatomy.networks.table import NETWORKS
from ganatomy.nn.norm import append_minibatch_deviation
from ganatomy.objectives.adversarial import Adversarial
from ganatomy.objectives.scores import NonSaturating
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Adam, Recipe
from ganatomy.sampling import sample
from ganatomy.steps.coupling import couple_groups
from ganatomy.steps.modules import GeneratorModule
from ganatomy.steps.space import DiscriminatorOutput
from ganatomy.steps.strategies import WholeImages
from ganatomy.studies.outliers import DiscriminatorFeatures, open_discriminator_features
from ganatomy.training import memory_estimate
from ganatomy.training.callbacks import Intervals
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.memory_trace import can_sample_by_planes
from ganatomy.training.train import train

CPU = torch.device("cpu")
SHAPE = (16, 16, 16)
LIBRARY_BYTES = 7 * 2**20


# ----------------------------------------------------------------------------------------------------------------------
# The least that a network has to say.


class StubGenerator(NetworkConfig):
    kind: str = "stub-generator"
    width: int = 8

    def build(self, space):
        return StubGeneratorModule(self, space)

    def make_tiny(self):
        return self


class StubGeneratorModule(nn.Module, GeneratorModule):
    def __init__(self, config, space):
        super().__init__()
        self.shape = tuple(n // 4 for n in space.shape)
        self.dense = nn.Linear(space.latent, config.width * torch.Size(self.shape).numel())
        self.head = nn.Conv3d(config.width, space.channels, 3, padding=1)

    def forward(self, z, condition, scope):
        x = F.relu(self.dense(z)).view(len(z), -1, *self.shape)
        return (torch.tanh(self.head(F.interpolate(x, scale_factor=4))),)


# ----------------------------------------------------------------------------------------------------------------------
# All that is special of a network.


class StubDiscriminator(NetworkConfig):
    kind: str = "stub-discriminator"
    group: int = 2

    @property
    def coupling(self):
        return couple_groups(self.group)

    @property
    def feature_layer(self):
        return "head"

    @property
    def libraries(self):
        return {"a package": LIBRARY_BYTES}

    def find_shape_problem(self, shape):
        return None if shape[0] < 64 else "the first axis must be below 64"

    def build(self, space):
        return StubDiscriminatorModule(self, space)

    def make_tiny(self):
        return self


class StubDiscriminatorModule(nn.Module):
    def __init__(self, config, space):
        super().__init__()
        self.group = config.group
        self.conv = nn.Conv3d(space.channels, 4, 4, stride=4)
        self.head = nn.Linear(5, 1)

    def forward(self, images, condition, scope):
        x = append_minibatch_deviation(F.leaky_relu(self.conv(images[0])), self.group)
        return DiscriminatorOutput(self.head(x.flatten(2).mean(2))[:, 0], condition.vector)


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.setitem(NETWORKS, "stub-generator", StubGenerator)
    monkeypatch.setitem(NETWORKS, "stub-discriminator", StubDiscriminator)
    return Recipe(
        name="stub",
        shape=SHAPE,
        latent=8,
        networks={"generator": StubGenerator(), "discriminator": StubDiscriminator()},
        objectives=(Adversarial(terms=(NonSaturating(),)),),
        strategy=WholeImages(batch_size=4),
        optimizers={"generator": Adam(), "discriminator": Adam()},
        total_kimg=0.04,
    )


@pytest.fixture
def ended(recipe, volumes, tmp_path):
    """A run that trained in one go."""
    often = Intervals(tick_kimg=0.008, grid_kimg=0.04, snapshot_kimg=0.02, checkpoint_kimg=0.02)
    return train(recipe, volumes, tmp_path / "whole", intervals=often)


def test_a_network_of_ones_own_trains_resumes_bit_for_bit_and_samples(recipe, ended, volumes, tmp_path):
    often = Intervals(tick_kimg=0.008, grid_kimg=0.04, snapshot_kimg=0.02, checkpoint_kimg=0.008)
    half = recipe.replace(total_kimg=0.02)
    first = train(half, volumes, tmp_path / "parts", intervals=often)
    second = train(recipe, volumes, tmp_path / "parts", intervals=often)
    assert first.path == second.path
    (a, said), (b, told) = ended.load_newest_checkpoint(), second.load_newest_checkpoint()
    assert said["counts"] == told["counts"]
    for file in a:
        for key in a[file]:
            assert torch.equal(a[file][key], b[file][key]), (file, key)
    snapshot = open_snapshot(second.list_snapshots()[-1])
    assert snapshot.recipe == recipe
    images = [image for image, _ in sample(snapshot, 2, seed=1)]
    assert [image.pixels.shape for image in images] == [SHAPE, SHAPE]
    with pytest.raises(Refused, match="stub generates whole images only"):
        sample(snapshot, 1, planes=8)


def test_its_pieces_are_chosen_so_that_it_learns_the_same(recipe, volumes, tmp_path, monkeypatch):
    wide = change_recipe(recipe, {"strategy.batch_size": 8, "total_kimg": 0.008})
    assert [wide.find_split_problem(pieces) for pieces in (2, 4)] == [None, None]  # four pairs
    assert "its discriminator compares images of a batch of 8 in groups" in wide.find_split_problem(8)
    room = memory_estimate.estimate_training(wide, ComputeSettings(), CPU).total - 1
    monkeypatch.setattr("ganatomy.training.train.measure_free_memory", lambda device: room)
    monkeypatch.setattr(memory_estimate, "fits_surely", lambda recipe, memory: False)
    run = train(wide, volumes, tmp_path, computing=ComputeSettings(), fit=True)
    assert run.computing["micro_batches"] == 2
    with pytest.raises(Refused, match="--micro-batches 8 would change the result of stub"):
        train(wide, volumes, tmp_path / "other", computing=ComputeSettings(micro_batches=8))


def test_what_it_says_is_heard(recipe, ended):
    with_library = memory_estimate.estimate_training(recipe, ComputeSettings(), CPU).libraries
    assert with_library - memory_estimate.DEVICE_OVERHEADS["cpu", False].libraries == LIBRARY_BYTES
    assert not can_sample_by_planes(recipe)
    with pytest.raises(Refused, match="--shape 64,64,64 does not fit stub: the first axis must be below 64"):
        recipe.resize((64, 64, 64))
    snapshot = open_snapshot(ended.list_snapshots()[-1], None)
    features = open_discriminator_features(snapshot, None)
    assert isinstance(features, DiscriminatorFeatures)
    assert features(torch.zeros(SHAPE).numpy(), {}).shape == (5,)
    with pytest.raises(Refused, match=r"has no encoder. These recipes have one from the start: .*alpha-gan.*vae"):
        check_encoder(snapshot)
    with pytest.raises(Refused, match="hagan-encoder needs a hierarchical-generator; stub has a stub-generator"):
        get_recipe("hagan-encoder").adapt_to_generator(recipe)


def test_a_recipe_with_it_goes_to_json_and_back_while_it_is_in_the_table(recipe, monkeypatch):
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    plain = recipe.model_dump(mode="json")
    assert plain["networks"]["generator"] == {"kind": "stub-generator", "width": 8}
    with pytest.raises(Refused, match=r"networks.generator.widht is not in the recipe; did you mean width\?"):
        change_recipe(recipe, {"networks.generator.widht": 4})
    monkeypatch.delitem(NETWORKS, "stub-generator")
    unknown = r"there is no network of kind 'stub-generator'; there are progressive-generator, .*, stub-discriminator"
    for given in (plain, {**plain, "networks": recipe.networks}):
        with pytest.raises(ValidationError, match=unknown):
            Recipe.model_validate(given)


def test_an_encoder_is_advised_that_fits_the_generator(hagan):
    with pytest.raises(Refused, match=r"ganatomy train hagan-encoder STORE --generator"):
        check_encoder(open_snapshot(hagan.list_snapshots()[-1]))


def test_an_encoder_takes_over_widths_and_whether_there_is_a_low_resolution_head():
    encoder = get_recipe("hagan-encoder")
    for name, low in (("hagan", "mean"), ("hagan-no-low", None)):
        recipe = encoder.adapt_to_generator(get_recipe(name).make_tiny())
        assert recipe.strategy.low == low
        assert [(recipe.networks[role].features, recipe.networks[role].groups) for role in recipe.networks] == [
            (8, 2)
        ] * 3


def test_every_network_is_in_the_table_under_its_kind():
    assert {kind: config().kind for kind, config in NETWORKS.items()} == {kind: kind for kind in NETWORKS}
    assert ProgressiveGenerator in NETWORKS.values()


@pytest.mark.parametrize("name", RECIPES)
def test_every_network_answers_and_its_module_has_what_it_names(name):
    recipe = get_recipe(name)
    networks = recipe.build_meta_networks()
    assert all(isinstance(block, nn.Module) for block in networks["generator"].list_blocks())
    for role, config in recipe.networks.items():
        if config.feature_layer is not None:
            networks[role].get_submodule(config.feature_layer)
    judged = recipe.networks.get("discriminator")
    assert judged is None or judged.feature_layer is not None
    assert hasattr(networks["generator"], "generate_slabs") == can_sample_by_planes(recipe)
