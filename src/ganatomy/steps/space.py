"""What every network is told when it is built, and what every discriminator returns."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ganatomy.pyramid import Shape
from ganatomy.steps.condition import ConditionSpace


@dataclass(frozen=True)
class ImageSpace:
    """The facts of a recipe that all its networks are built for.

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
    """D(x), without sigmoid or softmax.

    `scores` is (batch,), or (batch, scores) when several branches judge. `labels` is (batch,
    `ConditionSpace.label_width`), of width zero without conditions.
    """

    scores: Tensor
    labels: Tensor
