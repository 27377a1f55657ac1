"""Each term against a value worked out by hand, on a discriminator whose answer is known."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from ganatomy.channels import ImageChannel, LabelChannel
from ganatomy.nn.norm import append_minibatch_deviation, normalise_pixels
from ganatomy.objectives.adversarial_term import ScoredBatch
from ganatomy.objectives.augmentation import Augmentation
from ganatomy.objectives.labels import LabelClassification
from ganatomy.objectives.penalties import (
    Drift,
    GradientPenalty,
    WeightClipping,
    ZeroCentredPenalty,
    compute_unit_norm_penalty,
)
from ganatomy.objectives.phase import Batch
from ganatomy.objectives.scores import NonSaturating, Relativistic, Wasserstein
from ganatomy.steps.condition import UNCONDITIONAL, Condition
from ganatomy.steps.scope import LevelScope
from ganatomy.steps.space import DiscriminatorOutput


class Plane(nn.Module):
    """A discriminator whose score is `slope` times the sum of the voxels: its gradient has a known norm."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images, condition, scope):
        total = sum(image.flatten(1).sum(1) for image in images)
        return DiscriminatorOutput(self.slope * total, torch.zeros_like(condition.categories))


def _judged(real_scores, fake_scores, slope=0.5, real_labels=None, fake_labels=None, groups=(2,)):
    n = len(real_scores)
    condition = Condition(torch.eye(2)[torch.arange(n) % 2] if groups else torch.zeros(n, 0), groups)
    draw = Batch((torch.rand(n, 1, 10, 8),), condition, LevelScope(0, 1.0, (10, 8)), 0, range(n))
    none = torch.zeros(n, sum(groups))
    real = DiscriminatorOutput(torch.tensor(real_scores), none if real_labels is None else real_labels)
    fake = DiscriminatorOutput(torch.tensor(fake_scores), none if fake_labels is None else fake_labels)
    return ScoredBatch(Plane(slope), draw, (torch.rand(n, 1, 10, 8),), real, fake)


def test_wasserstein():
    judged = _judged([1.0, 3.0], [0.5, -0.5])
    assert Wasserstein().compute_discriminator_losses(judged)["wasserstein"] == -2
    assert Wasserstein().compute_generator_losses(judged)["wasserstein"] == 0


def test_non_saturating():
    judged = _judged([0.0, 0.0], [0.0, 0.0])
    assert NonSaturating().compute_discriminator_losses(judged)["logistic"] == pytest.approx(2 * math.log(2))
    assert NonSaturating().compute_generator_losses(judged)["logistic"] == pytest.approx(math.log(2))


def test_drift():
    assert Drift(weight=0.001).compute_discriminator_losses(_judged([1.0, 3.0], [0.0, 0.0]))["drift"] == pytest.approx(
        0.005
    )


def test_gradient_penalty_of_a_plane():
    slope = 0.5
    value = GradientPenalty(weight=10).compute_discriminator_losses(_judged([0.0, 0.0], [0.0, 0.0], slope))[
        "gradient_penalty"
    ]
    assert value.item() == pytest.approx(10 * (slope * math.sqrt(80) - 1) ** 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(
        GradientPenalty(weight=10).compute_discriminator_losses(judged := _judged([0.0], [0.0], slope))[
            "gradient_penalty"
        ],
        judged.discriminator.parameters(),
    )
    assert gradient.item() == pytest.approx(20 * (slope * math.sqrt(80) - 1) * math.sqrt(80), rel=1e-5)


def test_label_classification_sums_over_groups_and_is_zero_without():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    terms = LabelClassification().compute_discriminator_losses(_judged([0.0, 0.0], [0.0, 0.0], real_labels=logits))
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert terms["labels_real"].item() == pytest.approx((right + wrong) / 2)
    assert terms["labels_fake"].item() == pytest.approx(math.log(2))
    assert LabelClassification().compute_discriminator_losses(_judged([0.0], [0.0], groups=()))["labels_real"] == 0


def test_weight_clipping():
    layer = nn.Linear(3, 3)
    nn.init.normal_(layer.weight, std=5)
    WeightClipping(limit=0.5).constrain(layer)
    assert layer.weight.abs().max() <= 0.5


def test_draws_depend_on_the_number_and_the_purpose_alone():
    one = _judged([0.0] * 4, [0.0] * 4).batch
    assert torch.equal(one.draw_noise("generator", 8), one.draw_noise("generator", 8))
    assert not torch.equal(one.draw_noise("generator", 8), one.draw_noise("discriminator", 8))


def test_relativistic_pairs_each_fake_with_a_real():
    judged = _judged([2.0, -1.0], [0.0, 1.0])
    pairs = [2.0, -2.0]  # real minus fake
    expected = sum(math.log(1 + math.exp(-d)) for d in pairs) / 2
    assert Relativistic().compute_discriminator_losses(judged)["relativistic"].item() == pytest.approx(expected)
    expected = sum(math.log(1 + math.exp(d)) for d in pairs) / 2
    assert Relativistic().compute_generator_losses(judged)["relativistic"].item() == pytest.approx(expected)


@pytest.mark.parametrize("at", ["reals", "fakes"])
def test_zero_centred_penalty_of_a_plane(at):
    (value,) = (
        ZeroCentredPenalty(at=at, weight=3).compute_discriminator_losses(_judged([0.0, 0.0], [0.0, 0.0])).values()
    )
    assert value.item() == pytest.approx(3 / 2 * 0.25 * 80, rel=1e-5)


def test_a_lazy_penalty_is_as_strong_on_average():
    def at(step):
        judged = _judged([0.0, 0.0], [0.0, 0.0])
        draw = Batch(judged.batch.regions, judged.batch.condition, judged.batch.scope, 0, range(2 * step, 2 * step + 2))
        return ZeroCentredPenalty(every=4).compute_discriminator_losses(
            ScoredBatch(judged.discriminator, draw, *_rest(judged))
        )

    def _rest(judged):
        return judged.fakes, judged.real_output, judged.fake_output

    found = [sum(at(step).values(), start=torch.zeros(())).item() for step in range(8)]
    assert [value > 0 for value in found] == [step % 4 == 0 for step in range(8)]
    assert sum(found) / 8 == pytest.approx(10 / 2 * 0.25 * 80, rel=1e-5)


# ----------------------------------------------------------------------------------------------------------------------
# Augmentation.


def _draw(n=6, shape=(10, 8), first=0):
    return Batch(
        (torch.zeros(n, 1, *shape),), UNCONDITIONAL.make_blank(n), LevelScope(0, 1.0, shape), 0, range(first, first + n)
    )


@pytest.mark.parametrize("shape", [(20, 16), (12, 10, 16)])
def test_a_translation_moves_whole_voxels_and_brings_in_the_lowest_value(shape):
    augment = Augmentation(brightness=0, contrast=0, translation=0.25)
    images = torch.rand(6, 1, *shape)
    (moved,) = augment((images,), _draw(shape=shape), "x")
    assert moved.shape == images.shape
    assert not torch.equal(moved, images)
    for before, after in zip(images, moved, strict=True):
        kept = after[after > -0.999]
        assert len(kept) >= 0.75 ** len(shape) * before.numel()
        assert torch.isin((kept * 1e5).round(), (before * 1e5).round()).all()


def test_augmentation_is_the_same_for_the_same_numbers_and_differentiable():
    augment = Augmentation()
    images = (torch.rand(6, 1, 10, 8, requires_grad=True),)
    a, b, c = (augment(images, draw, "x")[0] for draw in (_draw(), _draw(), _draw(first=6)))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    a.sum().backward()
    assert images[0].grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(20, 16), (12, 10, 16)])
def test_the_channels_of_a_case_move_together_and_only_images_are_shaded(shape):
    classes = LabelChannel(classes=("marker",))
    image = torch.full((6, 1, *shape), -1.0)
    image[(slice(None), slice(None), *(slice(n // 3, n // 2) for n in shape))] = 0.25  # not in the middle
    image[(slice(None), slice(None), *(n // 3 - 1 for n in shape))] = 0.25  # and with a corner of its own
    marker = torch.where(image > 0, 1.0, -1.0)
    pair = torch.cat((image, -marker, marker), 1)
    draw = replace(_draw(shape=shape), kinds=(ImageChannel(), classes))
    (moved,) = Augmentation(brightness=0, contrast=0, translation=0.25)((pair,), draw, "x")
    assert not torch.equal(moved, pair)
    assert torch.equal(moved[:, 2:] > 0, moved[:, :1] > 0)
    assert torch.equal(moved[:, 1], -moved[:, 2])  # what comes in is background
    (shaded,) = Augmentation(translation=0)((pair,), draw, "x")
    assert torch.equal(shaded[:, 1:], pair[:, 1:])
    (alone,) = Augmentation(translation=0)((image,), _draw(shape=shape), "x")
    assert torch.equal(shaded[:, :1], alone)
    assert not torch.equal(alone, image)


def test_a_sub_volume_and_its_whole_are_shaded_alike_and_not_moved():
    augment = Augmentation(contrast=0, brightness=0.5, translation=0.5)
    high, low = torch.rand(6, 1, 4, 8, 8), torch.rand(6, 1, 4, 4, 4)
    lighter = [after - before for before, after in zip((high, low), augment((high, low), _draw(), "x"), strict=True)]
    assert lighter[0].flatten(1).std(1).max() < 1e-6
    torch.testing.assert_close(lighter[0].flatten(1).mean(1), lighter[1].flatten(1).mean(1))
    assert lighter[0].abs().max() > 0.05


@pytest.mark.parametrize("slopes", [[0.0], [0.0, 4.0]])
def test_the_penalty_of_the_slope_has_a_gradient_at_slope_zero(slopes):
    weight = torch.tensor(slopes, requires_grad=True)
    penalty = compute_unit_norm_penalty(weight.square())
    penalty.backward()
    assert penalty.item() == pytest.approx(sum((abs(slope) - 1) ** 2 for slope in slopes) / len(slopes))
    expected = [2 * (slope - 1) / len(slopes) if slope else 0 for slope in slopes]
    assert weight.grad.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("divide", [normalise_pixels, lambda x: append_minibatch_deviation(x, 2)])
def test_other_square_roots_have_a_gradient_at_zero(divide):
    x = torch.zeros(4, 3, 2, 2, requires_grad=True)
    divide(x).square().sum().backward()
    assert torch.isfinite(x.grad).all()
