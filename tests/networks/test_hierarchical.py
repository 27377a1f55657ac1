"""HA-GAN's networks: the paper's parameter counts, one function in training and sampling, and slab by slab."""

import pytest
import torch

from ganatomy.objectives.phase import Networks
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.steps.condition import UNCONDITIONAL
from ganatomy.steps.scope import SubVolumeScope, WholeScope
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.plan import count_parameters

NO_CONDITION = UNCONDITIONAL.make_blank(1)


@pytest.mark.parametrize(("n", "count"), [(256, 79_744_884), (128, 79_583_972), (64, 78_672_324), (32, 74_747_780)])
def test_parameter_counts_are_the_papers(n, count):
    assert sum(count_parameters(get_recipe("hagan-2022").resize((n, n, n))).values()) == count


def test_three_classes_add_the_published_number():
    plain = get_recipe("hagan-2022")
    classes = plain.replace(conditions={"gold": ("0", "1", "2")})
    assert sum(count_parameters(classes).values()) - sum(count_parameters(plain).values()) == 147_654


def _generator(shape, norm="group", halo=1, **more):
    torch.manual_seed(0)
    recipe = get_recipe("hagan").resize(shape).make_tiny().replace(shape=shape)
    settings = {"networks.generator.high_norm": norm, "networks.generator.halo": halo, "networks.generator.groups": 1}
    network = change_recipe(recipe, settings | more).build_generator()
    for parameter in network.parameters():  # biases and scales away from their start, so that all of them matter
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network.eval(), torch.randn(2, recipe.latent)


@pytest.mark.parametrize("norm", ["group", "voxel"])
@pytest.mark.parametrize(
    ("shape", "planes"), [((64, 64, 64), (4, 8, 20, 64)), ((48, 32, 64), (4, 12)), ((128, 128, 128), (16,))]
)
def test_slab_by_slab_equals_one_pass(shape, planes, norm):
    generator, z = _generator(shape, norm)
    with torch.no_grad():
        (whole,) = generator(z, UNCONDITIONAL.make_blank(2), WholeScope(shape))
        assert whole.shape == (2, 1, *shape)
        assert whole.std() > 0.01
        for n in planes:
            pieces = list(generator.generate_slabs(z, UNCONDITIONAL.make_blank(2), n))
            assert {piece.shape[2] for piece in pieces[:-1]} <= {n}
            assert (torch.cat(pieces, 2) - whole).abs().max() < 1e-5


def test_with_texture_slabs_and_sub_volumes_are_parts_of_the_whole():
    shape = (64, 64, 64)
    textured = {"networks.generator.texture": True, "networks.generator.bound": "clamp"}
    generator, z = _generator(shape, "voxel", **textured)
    blank = UNCONDITIONAL.make_blank(2)
    with torch.no_grad():
        generator.high.head.bias[1] = 0.3  # the strength of the noise
        (whole,) = generator(z, blank, WholeScope(shape))
        for planes in (4, 20):
            assert (torch.cat(list(generator.generate_slabs(z, blank, planes)), 2) - whole).abs().max() < 1e-5
        for start in (0, 20, 56):
            part, _ = generator(z, blank, SubVolumeScope(shape, start, 8))
            assert (part - whole[:, :, start : start + 8]).abs().max() < 1e-5
        (smooth,) = generator.decode_features(generator.common(z, blank), WholeScope(shape))
        assert torch.equal(generator(z, blank, WholeScope(shape))[0], whole)  # the code alone decides it
    assert (whole - smooth).std() > 0.1


def test_a_sub_volume_is_that_part_of_the_whole_and_the_published_one_is_not():
    shape = (64, 64, 64)
    differences = {}
    for norm, halo in (("voxel", 1), ("voxel", 0), ("group", 1), ("group", 0)):
        generator, z = _generator(shape, norm, halo)
        with torch.no_grad():
            (whole,) = generator(z[:1], NO_CONDITION, WholeScope(shape))
            part, low = generator(z[:1], NO_CONDITION, SubVolumeScope(shape, 16, 8))
        assert low.shape == (1, 1, 16, 16, 16)
        differences[norm, halo] = (part - whole[:, :, 16:24]).abs().max().item()
    assert differences["voxel", 1] < 1e-5
    assert min(value for key, value in differences.items() if key != ("voxel", 1)) > 1e-3


def test_folded_and_plain_generators_are_one_function():
    shape = (64, 32, 32)
    folded, z = _generator(shape)
    plain, _ = _generator(shape)
    ComputeSettings(upsampling="plain").apply_to(Networks({"generator": plain}), 3)
    assert plain.high.head.way == "plain"
    plain.load_state_dict(folded.state_dict())
    scope = SubVolumeScope(shape, 8, 8)
    for a, b in zip(
        folded(z, UNCONDITIONAL.make_blank(2), scope), plain(z, UNCONDITIONAL.make_blank(2), scope), strict=True
    ):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_gradients_through_a_sub_volume_are_those_of_the_same_part_of_the_whole():
    shape = (32, 32, 32)
    generator, z = _generator(shape, "voxel")
    loss = generator(z, UNCONDITIONAL.make_blank(2), SubVolumeScope(shape, 8, 4, low=None))[0].square().sum()
    parameters_ = [p for name, p in generator.named_parameters() if not name.startswith("low")]
    part = torch.autograd.grad(loss, parameters_)
    loss = generator(z, UNCONDITIONAL.make_blank(2), WholeScope(shape))[0][:, :, 8:12].square().sum()
    for a, b in zip(part, torch.autograd.grad(loss, parameters_), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shape", [(32, 32, 32), (48, 64, 32), (80, 32, 48), (16, 16, 16)])
def test_every_network_takes_every_shape(shape):
    recipe = get_recipe("hagan-2022").make_tiny().replace(shape=shape)
    players = recipe.build()
    scope = recipe.plan_step(0, 0).scope
    real = scope.crop(torch.rand(1, 1, *shape) * 2 - 1)
    fake = players["generator"](torch.randn(1, recipe.latent), NO_CONDITION, scope)
    assert [a.shape for a in fake] == [a.shape for a in real]
    assert players["discriminator"](real, NO_CONDITION, scope).scores.shape == (1,)
    features = torch.cat([players["high_encoder"](part) for part in torch.rand(1, 1, *shape).split(scope.depth, 2)], 2)
    assert features.shape[2:] == tuple(n // 4 for n in shape)
    assert players["ground_encoder"](features).shape == (1, recipe.latent)


def test_the_discriminator_is_told_where_the_sub_volume_lies():
    recipe = get_recipe("hagan").make_tiny()
    discriminator = recipe.build()["discriminator"].eval()
    images = (torch.rand(1, 1, 4, 32, 32), torch.rand(1, 1, 8, 8, 8))
    ends = [discriminator(images, NO_CONDITION, SubVolumeScope(recipe.shape, start, 4)).scores for start in (0, 28)]
    assert (ends[0] - ends[1]).abs().max() > 0
    assert ends[0].shape == (1, 2)  # one score a branch
