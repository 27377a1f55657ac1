"""Parameter counts, shapes and fading of the progressive networks, 2D and 3D."""

import pytest
import torch

from ganatomy.channels import ONE_IMAGE
from ganatomy.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from ganatomy.nn.resample import downsample_mean, upsample_nearest
from ganatomy.objectives.phase import Networks
from ganatomy.pyramid import compute_pyramid
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.condition import UNCONDITIONAL, ConditionSpace
from ganatomy.steps.scope import LevelScope
from ganatomy.steps.space import ImageSpace
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.plan import count_parameters

VIEWS = ConditionSpace({"view_position": ("CC", "MLO")})


def _build(shape, conditions=VIEWS, latent=8):
    torch.manual_seed(0)
    space = ImageSpace(shape, ONE_IMAGE, latent, conditions)
    small = {"width": 64, "widest": 8}
    return ProgressiveGenerator(**small).build(space), ProgressiveDiscriminator(**small).build(space)


def test_parameter_counts_of_the_published_networks():
    assert count_parameters(get_recipe("pggan-mammogram")) == {"generator": 24_143_065, "discriminator": 24_131_763}


def test_parameter_counts_without_labels():
    recipe = get_recipe("pggan-mammogram").replace(conditions={})
    assert count_parameters(recipe) == {"generator": 24_122_585, "discriminator": 24_130_737}


@pytest.mark.parametrize("shape", [(40, 32), (16, 16, 16), (20, 24, 28)])
@pytest.mark.parametrize("conditions", [UNCONDITIONAL, VIEWS])
def test_every_level_gives_and_takes_its_shape(shape, conditions):
    generator, discriminator = _build(shape, conditions)
    z, condition = torch.randn(4, 8), conditions.make_blank(4)
    for level, size in enumerate(compute_pyramid(shape)):
        for alpha in (0.3, 1.0) if level else (1.0,):
            scope = LevelScope(level, alpha, size)
            images = generator(z, condition, scope)
            assert images[0].shape == (4, 1, *size)
            verdict = discriminator(images, condition, scope)
            assert verdict.scores.shape == (4,)
            assert verdict.labels.shape == (4, conditions.width)


def test_a_level_fades_in_over_the_old_one():
    generator, discriminator = _build((20, 16))
    z, condition = torch.randn(4, 8), VIEWS.make_blank(4)
    old = generator(z, condition, LevelScope(1, 1.0, (10, 8)))[0]
    new = generator(z, condition, LevelScope(2, 1.0, (20, 16)))[0]
    at = {alpha: generator(z, condition, LevelScope(2, alpha, (20, 16)))[0] for alpha in (0.0, 0.25)}
    torch.testing.assert_close(at[0.0], upsample_nearest(old))
    torch.testing.assert_close(at[0.25], upsample_nearest(old).lerp(new, 0.25))
    image = torch.randn(4, 1, 20, 16)
    before = discriminator((downsample_mean(image),), condition, LevelScope(1, 1.0, (10, 8))).scores
    torch.testing.assert_close(discriminator((image,), condition, LevelScope(2, 0.0, (20, 16))).scores, before)


def test_reals_fade_as_the_generator_does():
    image = torch.randn(2, 1, 40, 32)
    (cropped,) = LevelScope(2, 0.25, (20, 16)).crop(image)
    whole = downsample_mean(image)
    torch.testing.assert_close(cropped, upsample_nearest(downsample_mean(whole)).lerp(whole, 0.25))


def test_folded_and_plain_generators_agree():
    torch.manual_seed(0)
    space = ImageSpace((40, 32), ONE_IMAGE, 8, VIEWS)
    folded = ProgressiveGenerator(width=64, widest=8).build(space)
    plain = ProgressiveGenerator(width=64, widest=8).build(space)
    ComputeSettings(upsampling="plain").apply_to(Networks({"generator": plain}), 2)
    assert {block.up.way for block in plain.blocks[1:]} == {"plain"}
    plain.load_state_dict(folded.state_dict())
    z, condition, scope = torch.randn(3, 8), VIEWS.make_blank(3), LevelScope(3, 0.5, (40, 32))
    torch.testing.assert_close(folded(z, condition, scope)[0], plain(z, condition, scope)[0], rtol=1e-4, atol=1e-5)


def test_feature_maps_follow_the_official_rule():
    from ganatomy.networks.progressive import count_features

    assert [count_features(level, 8192, 512) for level in range(9)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]


def test_mammograms_are_judged_by_the_official_codes_discriminator_and_the_published_table_stays_an_option():
    recipe = get_recipe("pggan-mammogram")
    assert recipe.networks["discriminator"].pool_first
    table = change_recipe(recipe, {"networks.discriminator.pool_first": False})
    assert not table.networks["discriminator"].pool_first
    assert not Recipe.model_validate_json(table.model_dump_json()).networks["discriminator"].pool_first
