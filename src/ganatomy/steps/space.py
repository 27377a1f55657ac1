"""What every network is told when it is built, and what every discriminator answers."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ganatomy.pyramid import Shape
from ganatomy.steps.condition import ConditionSpace


@dataclass(frozen=True)
class ImageSpace:
    """The facts that a recipe says once and hands to all its networks.

    Args:
        shape: voxels per axis of the final image.
        channels: values per voxel.
        latent: width of the latent code z.
        conditions: what the model is conditioned on.
    """

    shape: Shape
    channels: int
    latent: int
    conditions: ConditionSpace


class DiscriminatorOutput(NamedTuple):
    """A discriminator's answer, without sigmoid or softmax.

    `scores` is (batch,), or (batch, scores) when several branches judge; `labels`
    (batch, `ConditionSpace.label_width`), width zero without conditions.
    """

    scores: Tensor
    labels: Tensor
