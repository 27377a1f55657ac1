"""alpha-GAN and VAE-GAN: each phase's loss against one worked out from the same networks, and who learns from it."""

import pytest
import torch
from torch.nn import functional as F

from ganatomy.objectives.phase import Batch
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.steps.condition import UNCONDITIONAL

ROUNDING = 1e-5  # oneDNN chooses kernels by how memory lies: float32 scores near 0.1 differ by up to 2e-6 between calls


def _players(name):
    recipe = get_recipe(name).make_tiny()
    torch.manual_seed(0)
    players = recipe.build().eval()  # batch normalisation by its running statistics: one image at a time is the same
    scope = recipe.get_final_scope()
    draw = Batch((torch.rand(3, 1, *recipe.shape) * 2 - 1,), UNCONDITIONAL.make_blank(3), scope, 0, range(3))
    return recipe, players, draw, {phase.name: phase for phase in recipe.build_phases()}


def _score(players, images, draw):
    return players["discriminator"]((images,), draw.condition, draw.scope).scores


def _made(players, z, draw):
    return players["generator"](z, draw.condition, draw.scope)[0]


def test_alpha_gan_of_encoder_and_generator():
    recipe, players, draw, phases = _players("alpha-gan")
    phase = phases["encoder_generator"]
    assert phase.trained_roles == ("encoder", "generator")
    terms = phase.compute_losses(players, draw)
    x, z = draw.real[0], draw.draw_noise("generator", recipe.latent)
    code = players["encoder"](x)
    again, made = _made(players, code, draw), _made(players, z, draw)
    assert terms["again"].item() == pytest.approx(-_score(players, again, draw).mean().item(), abs=ROUNDING)
    assert terms["made"].item() == pytest.approx(-_score(players, made, draw).mean().item(), abs=ROUNDING)
    assert terms["code"].item() == pytest.approx(-players["code_discriminator"](code).mean().item(), abs=ROUNDING)
    assert terms["reconstruction"].item() == pytest.approx(10 * (x - again).abs().mean().item(), rel=1e-5)
    assert "cycle" not in terms


def test_cce_gan_adds_the_cycle_through_the_codes_and_nothing_else():
    recipe, players, draw, phases = _players("cce-gan")
    terms = phases["encoder_generator"].compute_losses(players, draw)
    z = draw.draw_noise("generator", recipe.latent)
    expected = 10 * (z - players["encoder"](_made(players, z, draw))).abs().mean()
    assert terms["cycle"].item() == pytest.approx(expected.item(), rel=1e-5)
    plain = get_recipe("alpha-gan")
    assert change_recipe(plain, {"objectives.0.cycle": 10}).replace(name="cce-gan") == get_recipe("cce-gan")


def test_alpha_gan_of_both_discriminators():
    recipe, players, draw, phases = _players("alpha-gan")
    x = draw.real[0]
    with torch.no_grad():
        code = players["encoder"](x)
        again = _made(players, code, draw)
        made = _made(players, draw.draw_noise("discriminator", recipe.latent), draw)
    terms = phases["discriminator"].compute_losses(players, draw)
    real = _score(players, x, draw).mean()
    assert terms["again"].item() == pytest.approx((_score(players, again, draw).mean() - real).item(), abs=ROUNDING)
    assert terms["made"].item() == pytest.approx((_score(players, made, draw).mean() - real).item(), abs=ROUNDING)
    judge = players["code_discriminator"]
    z = draw.draw_noise("code", recipe.latent)
    terms = phases["code_discriminator"].compute_losses(players, draw)
    assert terms["wasserstein"].item() == pytest.approx((judge(code).mean() - judge(z).mean()).item(), abs=ROUNDING)
    share = draw.draw_uniform("code-penalty")[:, None]
    at = (z + share * (code - z)).requires_grad_(True)
    (slope,) = torch.autograd.grad(judge(at).sum(), at)
    expected = 10 * (slope.norm(dim=1) - 1).square().mean()
    assert terms["penalty"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_vae_gan():
    recipe, players, draw, phases = _players("vae-gan")
    assert [phase.trained_roles for phase in phases.values()] == [("encoder",), ("generator",), ("discriminator",)]
    x = draw.real[0]
    mean, log_variance = players["encoder"](x).chunk(2, 1)
    code = mean + draw.draw_noise("encoder", recipe.latent) * (log_variance / 2).exp()
    terms = phases["encoder"].compute_losses(players, draw)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).mean()
    assert terms["divergence"].item() == pytest.approx(expected.item(), rel=1e-4)
    error = (x - _made(players, code, draw)).square().mean()
    assert terms["reconstruction"].item() == pytest.approx(10 * error.item(), rel=1e-5)
    terms = phases["discriminator"].compute_losses(players, draw)
    assert terms["real"].item() == pytest.approx(F.softplus(-_score(players, x, draw)).mean().item(), rel=1e-5)
    torch.testing.assert_close(recipe.encoding_objective.encode(players, x, draw.condition), mean)


@pytest.mark.parametrize("name", ["alpha-gan", "vae-gan", "hagan-2022", "vae", "latent-diffusion", "autoregressive"])
def test_recipes_with_an_encoder_encode_whole_images(name):
    recipe = get_recipe(name).make_tiny()
    players = recipe.build()
    images = torch.rand(2, 1, *recipe.shape) * 2 - 1
    code = recipe.encoding_objective.encode(players, images, UNCONDITIONAL.make_blank(2))
    assert code.shape == (2, recipe.latent)
    assert torch.isfinite(code).all()
    assert set(recipe.encoding_objective.encoder_roles) < set(recipe.networks)


def test_recipes_without_an_encoder_say_so():
    assert get_recipe("hagan").encoding_objective is None
    assert get_recipe("wgan").encoding_objective is None
