"""Parameter counts, shapes and fading of the progressive networks, 2D and 3D."""

import pytest
import torch

from ganatomy.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from ganatomy.nn.resample import enlarge, shrink
from ganatomy.pyramid import pyramid
from ganatomy.recipes import named
from ganatomy.steps.scope import Level
from ganatomy.steps.space import Space
from ganatomy.training.plan import parameters


def _build(shape, conditions=2, latent=8):
    torch.manual_seed(0)
    space = Space(shape, 1, latent, conditions)
    small = {"width": 64, "widest": 8}
    return ProgressiveGenerator(**small).build(space), ProgressiveDiscriminator(**small).build(space)


def test_parameter_counts_of_the_published_networks():
    assert parameters(named("pggan-mammogram")) == {"generator": 24_143_065, "discriminator": 24_131_763}


def test_parameter_counts_without_labels():
    recipe = named("pggan-mammogram").model_copy(update={"conditions": {}})
    assert parameters(recipe) == {"generator": 24_122_585, "discriminator": 24_130_737}


@pytest.mark.parametrize("shape", [(40, 32), (16, 16, 16), (20, 24, 28)])
@pytest.mark.parametrize("conditions", [0, 2])
def test_every_level_gives_and_takes_its_shape(shape, conditions):
    generator, discriminator = _build(shape, conditions)
    z, condition = torch.randn(4, 8), torch.zeros(4, conditions)
    for level, size in enumerate(pyramid(shape)):
        for alpha in (0.3, 1.0) if level else (1.0,):
            scope = Level(level, alpha, size)
            images = generator(z, condition, scope)
            assert images[0].shape == (4, 1, *size)
            verdict = discriminator(images, condition, scope)
            assert verdict.scores.shape == (4,)
            assert verdict.labels.shape == (4, conditions)


def test_a_level_fades_in_over_the_old_one():
    generator, discriminator = _build((20, 16))
    z, condition = torch.randn(4, 8), torch.zeros(4, 2)
    old = generator(z, condition, Level(1, 1.0, (10, 8)))[0]
    new = generator(z, condition, Level(2, 1.0, (20, 16)))[0]
    at = {alpha: generator(z, condition, Level(2, alpha, (20, 16)))[0] for alpha in (0.0, 0.25)}
    torch.testing.assert_close(at[0.0], enlarge(old))
    torch.testing.assert_close(at[0.25], enlarge(old).lerp(new, 0.25))
    image = torch.randn(4, 1, 20, 16)
    before = discriminator((shrink(image),), condition, Level(1, 1.0, (10, 8))).scores
    torch.testing.assert_close(discriminator((image,), condition, Level(2, 0.0, (20, 16))).scores, before)


def test_reals_fade_as_the_generator_does():
    image = torch.randn(2, 1, 40, 32)
    (cropped,) = Level(2, 0.25, (20, 16)).crop(image)
    whole = shrink(image)
    torch.testing.assert_close(cropped, enlarge(shrink(whole)).lerp(whole, 0.25))


def test_folded_and_plain_generators_agree():
    torch.manual_seed(0)
    space = Space((40, 32), 1, 8, 2)
    folded = ProgressiveGenerator(width=64, widest=8).build(space)
    plain = ProgressiveGenerator(width=64, widest=8, folded=False).build(space)
    plain.load_state_dict(folded.state_dict())
    z, condition, scope = torch.randn(3, 8), torch.zeros(3, 2), Level(3, 0.5, (40, 32))
    torch.testing.assert_close(folded(z, condition, scope)[0], plain(z, condition, scope)[0], rtol=1e-4, atol=1e-5)


def test_feature_maps_follow_the_official_rule():
    from ganatomy.networks.progressive import features

    assert [features(level, 8192, 512) for level in range(9)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
