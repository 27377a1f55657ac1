"""The sizes of HA-GAN's networks: cubes as they always were, any shape with no more weights than a cube, refusals."""

import hashlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganatomy.errors import Refused
from ganatomy.recipes import get_recipe
from ganatomy.steps import hierarchy
from ganatomy.steps.hierarchy import compute_feature_shapes, compute_low_shape, compute_sizes
from ganatomy.training.plan import count_parameters

# Of `hagan`, by the length of a cube, before axes were halved by themselves.
GENERATOR = {32: 52_518_210, 48: 132_287_810, 80: 84_531_010, 112: 198_937_410, 128: 52_518_210, 256: 52_518_210}
DISCRIMINATOR = {32: 4_240_834, 48: 7_691_714, 80: 7_197_570, 112: 11_185_538, 128: 7_241_442, 256: 7_402_258}
# Of the tiny `hagan-2022` with seed 0 at 32, 64 and 128 cubed: the first digits of SHA-256 over all initial weights.
WEIGHTS = {
    "generator": ("e2d4af57bfb84a4f", "e2d4af57bfb84a4f", "e2d4af57bfb84a4f"),
    "high_encoder": ("5bb84826c6039d40", "153e1e2eeae01dcb", "a943645c3cb0fa9e"),
    "ground_encoder": ("9a3f535a0fc3a9fe", "145637faf9ecb671", "5d7418d476a6b8b5"),
}
OUTPUTS = {  # standard deviations of sub-volume and whole, score, length of the code
    32: (0.31837377, 0.24639750, -0.00767642, 1.7003318),
    64: (0.36997357, 0.23892310, 0.10290858, 1.6728620),
    128: (0.36800572, 0.23288152, -0.16328230, 1.8986106),
}
LEAST_CUBE_BASE = 4**3  # points at the base of a cube whose length is a power of two


@pytest.mark.parametrize("n", GENERATOR)
def test_cubes_have_the_weights_that_they_always_had(n):
    counts = count_parameters(get_recipe("hagan").resize((n, n, n)))
    assert counts == {"generator": GENERATOR[n], "discriminator": DISCRIMINATOR[n]}


@pytest.mark.parametrize(("place", "n"), list(enumerate(OUTPUTS)))
def test_cubes_are_the_networks_that_they_always_were(place, n):
    recipe = get_recipe("hagan-2022").make_tiny().replace(shape=(n, n, n))
    torch.manual_seed(0)
    networks = recipe.build().eval()
    assert {role: _hash_tensors(networks[role].state_dict()) for role in WEIGHTS} == {
        role: digests[place] for role, digests in WEIGHTS.items()
    }
    torch.manual_seed(1)
    z, blank, scope = torch.randn(1, recipe.latent), recipe.condition_space.make_blank(1), recipe.plan_step(0, 0).scope
    with torch.no_grad():
        parts = networks["generator"](z, blank, scope)
        score = networks["discriminator"](parts, blank, scope).scores
        code = networks["ground_encoder"](networks["generator"].common(z, blank))
    found = (*(part.std().item() for part in parts), score.item(), code.norm().item())
    assert found == pytest.approx(OUTPUTS[n], rel=1e-4)  # the bits depend on the processor


def _hash_tensors(tensors):
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    ("shape", "base", "doublings"),
    [
        ((512, 512, 512), (4, 4, 4), 5),
        ((4096, 3328), (16, 13), 6),
        ((1280, 1024), (5, 4), 6),
        ((48, 256, 256), (6, 4, 4), 4),
        ((80, 32, 48), (10, 4, 6), 1),
    ],
)
def test_bases_of_shapes_that_are_no_small_cubes(shape, base, doublings):
    sizes = compute_feature_shapes(shape)
    assert (sizes[0], sizes[-1], len(sizes) - 1) == (base, compute_low_shape(shape), doublings)


@pytest.mark.parametrize(
    ("shape", "most"), [((4096, 3328), 130e6), ((512, 512, 512), 60e6), ((48, 256, 256), 70e6), ((32, 512, 512), 160e6)]
)
def test_generators_of_large_and_flat_images_are_small(shape, most):
    assert count_parameters(get_recipe("hagan").resize(shape))["generator"] < most


def _list_shapes(axes):
    lengths = st.integers(1, 64).map(lambda n: 16 * n)
    return st.lists(lengths, min_size=axes, max_size=axes).map(tuple)


def _count_base_points(shape):
    return math.prod(compute_sizes(shape)[0])


@settings(deadline=None, max_examples=30)
@given(st.one_of(_list_shapes(2), _list_shapes(3)))
def test_no_shape_has_many_more_weights_than_the_cube_of_its_volume(shape):
    """The dense layer is proportional to the points of the base, and every doubling adds at most one widest block.

    A base has at most 256 points, or those that odd divisors force: an axis is halved to its odd divisor, or to 4 to 7.
    The cube (square) is that of the next power of two, with a base of 4 points an axis and one block a doubling.
    """
    forced = math.prod(max(hierarchy.LARGEST_EASY_BASE, n // (n & -n)) for n in shape)
    points = _count_base_points(shape)
    assert points <= max(hierarchy.MANY_BASE_POINTS, forced)
    if points > hierarchy.MOST_BASE_POINTS:
        with pytest.raises(Refused, match="the nearest shapes that fit are"):
            get_recipe("hagan").resize(shape)
        return
    side = 2 ** math.ceil(math.log2(math.prod(shape)) / len(shape))
    cube = count_parameters(get_recipe("hagan").resize((max(16, side),) * len(shape)))["generator"]
    most = max(hierarchy.MANY_BASE_POINTS, forced) / 4 ** len(shape) * cube
    assert count_parameters(get_recipe("hagan").resize(shape))["generator"] <= most


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 1100), min_size=2, max_size=3).map(tuple))
def test_shapes_named_in_a_refusal_are_accepted_and_near(shape):
    why = hierarchy.find_shape_problem(shape)
    if why is None:
        return
    named = why.rsplit(" are ", 1)[1].split(" and ")
    for text in named:
        near = tuple(map(int, text.split(",")))
        assert hierarchy.find_shape_problem(near) is None
        assert all(n / 2 <= max(m, 16) <= 2 * n for n, m in zip(near, shape, strict=True))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((400, 400, 400), "25x25x25, which is 15,625 points .* 384,384,384"),
        ((1300, 1000), "multiple of 16; .* 1280,1024 and 1280,896"),
        ((4100, 3328), "multiple of 16; .* 4096,3328"),
    ],
)
def test_a_refusal_names_the_nearest_shapes(shape, words):
    with pytest.raises(Refused, match=words):
        get_recipe("hagan").resize(shape)


@pytest.mark.parametrize("shape", [(16, 128, 128), (16, 16, 272), (80, 80, 16), (512, 112)])
def test_images_that_are_halved_axis_by_axis_go_through_all_networks(shape):
    recipe = get_recipe("hagan-2022").make_tiny().replace(shape=shape)
    networks = recipe.build()
    blank, scope = recipe.condition_space.make_blank(1), recipe.plan_step(0, 0).scope
    real = scope.crop(torch.rand(1, 1, *shape) * 2 - 1)
    z = torch.randn(1, recipe.latent)
    fake = networks["generator"](z, blank, scope)
    assert [one.shape for one in fake] == [one.shape for one in real]
    scores = networks["discriminator"](fake, blank, scope).scores
    scores.sum().backward()
    assert all(p.grad is not None for n, p in networks["generator"].named_parameters())
    assert networks["ground_encoder"](networks["generator"].common(z, blank)).shape == (1, recipe.latent)
