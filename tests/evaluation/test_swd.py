"""The sliced Wasserstein distance against closed forms, a second implementation of its core, and what it must see."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from ganatomy.errors import Refused
from ganatomy.evaluation.metrics import swd as module
from ganatomy.evaluation.metrics.swd import SWDProtocol, compute_swd, extract_descriptors, list_swd_levels
from ganatomy.phantoms.fields import draw_power_law_field

FAST = SWDProtocol(patches=64, repeats=2, directions=32)


def _textures(n, beta, seed=0, shape=(80, 64)):
    return [np.clip(draw_power_law_field(np.random.default_rng((seed, i)), shape, beta) / 3, -1, 1) for i in range(n)]


def _average(a, b, protocol=FAST):
    return float(
        np.mean(
            compute_swd(extract_descriptors(a, protocol, "reals"), extract_descriptors(b, protocol, "fakes"), protocol)
        )
    )


def test_the_levels_of_a_mammogram():
    assert [size[0] for size in list_swd_levels((1280, 1024))] == [1280, 640, 320, 160, 80, 40, 20]
    assert list_swd_levels((20, 16)) == [(20, 16)]


def test_equal_sets_with_equal_patches_are_at_zero():
    images = _textures(4, 2.5)
    one = extract_descriptors(images, FAST, "same")
    assert compute_swd(one, extract_descriptors(images, FAST, "same"), FAST) == [0.0] * len(list_swd_levels((80, 64)))


def test_the_pyramid_adds_up_to_the_image():
    image = torch.from_numpy(_textures(1, 2.5)[0]) * 127.5 + 127.5
    bands = module._build_pyramid(image, 3)
    back = bands[-1]
    for band in bands[-2::-1]:
        spread = torch.zeros_like(band)
        spread[::2, ::2] = back
        back = band + 4 * module._filter(spread)
    torch.testing.assert_close(back, image)


def test_the_projected_distance_is_scipys():
    torch.manual_seed(0)
    a, b = torch.randn(500, 49), torch.randn(500, 49) * 1.3
    protocol = SWDProtocol(repeats=1, directions=8)
    ours = module._compute_sliced_distance(a, b, protocol, 0)
    from ganatomy.randomness import draw_normal

    directions = draw_normal(0, "directions 0", range(1), 49, 8)[0]
    directions = directions / directions.norm(dim=0)
    theirs = np.mean([wasserstein_distance((a @ d).numpy(), (b @ d).numpy()) for d in directions.T])
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_two_gaussians_of_known_distance():
    # Projections of N(0, I) and N(0, s^2 I) are N(0, 1) and N(0, s^2): W1 = (s - 1) sqrt(2 / pi).
    torch.manual_seed(0)
    a, b = torch.randn(10_000, 49), torch.randn(10_000, 49) * 1.5
    assert module._compute_sliced_distance(a, b, SWDProtocol(), 0) == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=0.03)


def test_it_grows_with_a_texture_that_is_further_away():
    reals = _textures(12, 2.5, 0)
    found = [_average(reals, _textures(12, beta, 1)) for beta in (2.5, 2.9, 3.5)]
    assert found[0] < found[1] < found[2]


def test_it_is_blind_to_the_contrast_of_a_whole_set():
    reals, fakes = _textures(8, 2.5, 0), _textures(8, 2.5, 1)
    assert _average(reals, fakes) == pytest.approx(_average(reals, [0.5 * image for image in fakes]), rel=1e-3)


def test_golden_value():
    # 16 against 16 textures of exponents 2.5 and 3, protocol as published; a change of the definition changes it.
    assert _average(_textures(16, 2.5, 0), _textures(16, 3.0, 1), SWDProtocol()) == pytest.approx(GOLDEN, rel=1e-3)


GOLDEN = 55.85597517589728


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "no image"),
        ([np.zeros((5, 5))], "at least 7 voxels per axis"),
        ([np.zeros((16, 16)), np.zeros((16, 8))], "one shape"),
    ],
)
def test_impossible_sets_are_refused(images, words):
    with pytest.raises(Refused, match=words):
        extract_descriptors(images, FAST, "reals")


def test_sets_of_different_size_are_refused():
    with pytest.raises(Refused, match="the same number of images"):
        _average(_textures(3, 2.5), _textures(4, 2.5))
