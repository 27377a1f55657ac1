"""Each term against a value worked out by hand, on a discriminator whose answer is known."""

import math

import pytest
import torch
from torch import nn

from ganatomy.objectives.judged import Judged
from ganatomy.objectives.labels import LabelClassification
from ganatomy.objectives.penalties import Drift, GradientPenalty, WeightClipping
from ganatomy.objectives.phase import Draw
from ganatomy.objectives.scores import NonSaturating, Wasserstein
from ganatomy.scope import Level
from ganatomy.space import Verdict


class Plane(nn.Module):
    """A discriminator whose score is `slope` times the sum of the voxels: its gradient has a known norm."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images, condition, scope):
        total = sum(image.flatten(1).sum(1) for image in images)
        return Verdict(self.slope * total, torch.zeros(len(total), condition.shape[1]))


def _judged(real_scores, fake_scores, slope=0.5, real_labels=None, fake_labels=None, groups=(2,)):
    n = len(real_scores)
    condition = torch.eye(2)[torch.arange(n) % 2] if groups else torch.zeros(n, 0)
    draw = Draw((torch.rand(n, 1, 10, 8),), condition, groups, Level(0, 1.0, (10, 8)), 0, range(n))
    none = torch.zeros(n, sum(groups))
    real = Verdict(torch.tensor(real_scores), none if real_labels is None else real_labels)
    fake = Verdict(torch.tensor(fake_scores), none if fake_labels is None else fake_labels)
    return Judged(Plane(slope), draw, (torch.rand(n, 1, 10, 8),), real, fake)


def test_wasserstein():
    judged = _judged([1.0, 3.0], [0.5, -0.5])
    assert Wasserstein().discriminator(judged)["wasserstein"] == -2
    assert Wasserstein().generator(judged)["wasserstein"] == 0


def test_non_saturating():
    judged = _judged([0.0, 0.0], [0.0, 0.0])
    assert NonSaturating().discriminator(judged)["logistic"] == pytest.approx(2 * math.log(2))
    assert NonSaturating().generator(judged)["logistic"] == pytest.approx(math.log(2))


def test_drift():
    assert Drift(weight=0.001).discriminator(_judged([1.0, 3.0], [0.0, 0.0]))["drift"] == pytest.approx(0.005)


def test_gradient_penalty_of_a_plane():
    slope = 0.5
    value = GradientPenalty(weight=10).discriminator(_judged([0.0, 0.0], [0.0, 0.0], slope))["gradient_penalty"]
    assert value.item() == pytest.approx(10 * (slope * math.sqrt(80) - 1) ** 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(
        GradientPenalty(weight=10).discriminator(judged := _judged([0.0], [0.0], slope))["gradient_penalty"],
        judged.discriminator.parameters(),
    )
    assert gradient.item() == pytest.approx(20 * (slope * math.sqrt(80) - 1) * math.sqrt(80), rel=1e-5)


def test_label_classification_sums_over_groups_and_is_zero_without():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    terms = LabelClassification().discriminator(_judged([0.0, 0.0], [0.0, 0.0], real_labels=logits))
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert terms["labels_real"].item() == pytest.approx((right + wrong) / 2)
    assert terms["labels_fake"].item() == pytest.approx(math.log(2))
    assert LabelClassification().discriminator(_judged([0.0], [0.0], groups=()))["labels_real"] == 0


def test_weight_clipping():
    layer = nn.Linear(3, 3)
    nn.init.normal_(layer.weight, std=5)
    WeightClipping(limit=0.5).constrain(layer)
    assert layer.weight.abs().max() <= 0.5


def test_draws_depend_on_the_number_and_the_purpose_alone():
    one = _judged([0.0] * 4, [0.0] * 4).draw
    assert torch.equal(one.noise("generator", 8), one.noise("generator", 8))
    assert not torch.equal(one.noise("generator", 8), one.noise("discriminator", 8))
