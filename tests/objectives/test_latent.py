"""Models of an autoencoder's codes: losses worked out again, tokens and noise there and back, stages, refusals."""

import math
import sys

import pytest
import torch
from torch.nn import functional as F

from ganatomy.errors import Refused
from ganatomy.objectives.phase import Batch
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.condition import UNCONDITIONAL

NOTHING = UNCONDITIONAL.make_blank(3)


def _players(name, conditions=None):
    recipe = get_recipe(name).make_tiny().replace(conditions=conditions or {})
    torch.manual_seed(0)
    players = recipe.build().eval()
    for parameter in players.parameters():  # MONAI sets the last layer of a U-Net to zero
        torch.nn.init.normal_(parameter, std=0.05 if name != "autoregressive" else 0.2)
    space = recipe.condition_space
    condition = space.encode([space.choose_facts({}, i) for i in range(3)])
    real = torch.rand(3, 1, *recipe.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    draw = Batch((real,), condition, recipe.get_final_scope(), 0, range(3))
    return recipe, players, draw, {phase.name: phase for phase in recipe.build_phases()}


def test_vae_is_the_bound_per_voxel_with_the_best_variance():
    recipe, players, draw, phases = _players("vae")
    x = draw.real[0]
    mean, log_variance = players["encoder"](x).chunk(2, 1)
    code = mean + draw.draw_noise("encoder", recipe.latent) * (log_variance / 2).exp()
    terms = phases["autoencoder"].compute_losses(players, draw)
    variance = (x - players["generator"](code, draw.condition, draw.scope)[0]).square().mean()
    density = torch.distributions.Normal(0, variance.sqrt()).log_prob(variance.sqrt())
    expected = -density - (1 + math.log(2 * math.pi)) / 2  # the rest of a normal density at its own deviation
    assert terms["likelihood"].item() == pytest.approx(expected.item(), rel=1e-4)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum(1)
    assert terms["divergence"].item() == pytest.approx(divergence.mean().item() / x[0].numel(), rel=1e-4)


def test_the_flow_goes_straight_from_scaled_codes_to_noise():
    recipe, players, draw, phases = _players("latent-diffusion")
    assert [(phase.stage, phase.trained_roles) for phase in phases.values()] == [
        ("autoencoder", ("encoder", "generator")),
        ("prior", ("generator",)),
    ]
    generator = players["generator"].train()
    codes = players["encoder"](draw.real[0]).chunk(2, 1)[0].detach()
    axes = (0, 2, 3, 4)
    scaled = (codes - codes.mean(axes, keepdim=True)) / (codes.var(axes, keepdim=True, correction=0) + 1e-5).sqrt()
    noise, time = (
        draw.draw_noise("prior", recipe.latent).view_as(codes),
        draw.draw_uniform("time")[:, None, None, None, None],
    )
    terms = phases["prior"].compute_losses(players, draw)
    found = generator.predict_velocity((1 - time) * scaled + time * noise, time.flatten(), draw.condition)
    assert terms["flow"].item() == pytest.approx((found - noise + scaled).square().mean().item(), rel=1e-4)
    assert generator.scale.running_mean.abs().sum() > 0  # what sampling scales with follows the codes


def test_noise_flows_to_an_image_and_back():
    recipe, players, draw, _ = _players("latent-diffusion")
    generator = players["generator"]
    generator.steps = 60
    z = draw.draw_noise("there", recipe.latent)
    with torch.no_grad():
        there = generator.integrate_flow(z.view(3, *generator.grid), NOTHING, 1.0, 0.0)
        back = generator.integrate_flow(there, NOTHING, 0.0, 1.0).flatten(1)
    assert (there.flatten(1) - z).abs().mean() > 0.01
    torch.testing.assert_close(back, z, atol=1e-3, rtol=1e-3)


def test_tokens_are_the_rounded_codes():
    _, players, *_ = _players("autoregressive")
    generator = players["generator"]
    codes = 2 * torch.randn(3, generator.channels, *generator.grid, generator=torch.Generator().manual_seed(2))
    rounded = generator.quantise_codes(codes)
    assert set((rounded * 2).unique().tolist()) <= {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert (rounded - codes.tanh()).abs().max() <= 0.25 + 1e-6
    tokens = generator.tokenise_codes(codes)
    assert tokens.min() >= 0
    assert tokens.max() < generator.words == 625
    with torch.no_grad():
        torch.testing.assert_close(generator.decode_tokens(tokens), generator.decoder(rounded))
    codes.requires_grad_(True)
    generator.quantise_codes(codes).sum().backward()
    torch.testing.assert_close(codes.grad, 1 - codes.detach().tanh() ** 2)  # as if nothing had been rounded


def test_the_transformer_sees_what_came_before_and_nothing_else():
    _, players, draw, phases = _players("autoregressive")
    generator = players["generator"]
    tokens = torch.randint(generator.words, (3, 8), generator=torch.Generator().manual_seed(3))
    other = tokens.clone()
    other[:, 5] = (other[:, 5] + 1) % generator.words
    with torch.no_grad():
        a, b = generator.predict_logits(tokens[:, :-1], NOTHING), generator.predict_logits(other[:, :-1], NOTHING)
    torch.testing.assert_close(a[:, :6], b[:, :6])
    assert (a[:, 6:] - b[:, 6:]).abs().max() > 1e-4
    terms = phases["prior"].compute_losses(players, draw)
    seen = generator.tokenise_codes(players["encoder"](draw.real[0]))
    logits = generator.predict_logits(seen[:, :-1], NOTHING)
    expected = -torch.stack([F.log_softmax(logits[i, j], 0)[seen[i, j]] for i in range(3) for j in range(8)]).mean()
    assert terms["surprise"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_codes_of_tokens_give_the_tokens_again():
    recipe, players, *_ = _players("autoregressive", {"sex": ("F", "M")})
    generator = players["generator"]
    condition = recipe.condition_space.encode([{"sex": value} for value in "FMF"])
    tokens = torch.randint(generator.words, (3, 8), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        z = generator.encode_tokens(tokens, condition)
        assert (generator.sample_tokens(z, condition) == tokens).all()


def test_tokens_follow_the_probabilities_that_the_transformer_gives():
    _, players, *_ = _players("autoregressive")
    generator = players["generator"]
    z = torch.randn(2000, 1, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        shares = generator.predict_logits(torch.zeros(1, 0, dtype=torch.long), NOTHING[:1])[0, 0].softmax(0)
        first = generator.sample_tokens(z, UNCONDITIONAL.make_blank(2000))[:, 0]
    likely = shares.argsort(descending=True)[:300]  # about half of all
    expected = shares[likely].sum().item()
    assert torch.isin(first, likely).float().mean().item() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", ["latent-diffusion", "autoregressive"])
def test_conditions_reach_the_prior(name):
    recipe, players, *_ = _players(name, {"sex": ("F", "M")})
    z = torch.randn(1, recipe.latent, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        a, b = (
            players["generator"](z, recipe.condition_space.encode([{"sex": sex}]), recipe.get_final_scope())[0]
            for sex in ("F", "M")
        )
    assert (a - b).abs().max() > 1e-5


def test_first_the_autoencoder_then_the_prior():
    recipe = get_recipe("latent-diffusion")
    assert [moment.stage for _, moment in recipe.make_timetable()] == ["autoencoder", "prior"]
    assert recipe.plan_step(159_999, 0).stage == "autoencoder"
    assert (recipe.plan_step(160_000, 0).stage, recipe.plan_step(160_000, 0).optimizer_epoch) == ("prior", 1)
    assert [phase.name for phase in recipe.build_phases("prior")] == ["prior"]


def test_the_code_follows_the_shape():
    recipe = get_recipe("latent-diffusion")
    assert recipe.latent == 4 * 16**3
    assert recipe.resize((64, 64, 32)).latent == 4 * 8 * 8 * 4
    assert Recipe.model_validate(recipe.resize((64, 64, 32)).model_dump()).latent == 1024
    with pytest.raises(Refused, match="multiple of 16"):
        recipe.resize((40, 64, 64))
    with pytest.raises(Refused, match="has 16384 numbers for this shape"):
        change_recipe(recipe, {"latent": 12})
    with pytest.raises(Refused, match="no objective trains in the part 'all'"):
        change_recipe(recipe, {"strategy": {"kind": "whole-images"}})


def test_without_monai_it_is_refused_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets.autoencoderkl", None)
    with pytest.raises(Refused, match=r"pip install 'ganatomy\[benchmark\]'"):
        get_recipe("autoregressive").make_tiny().build()
