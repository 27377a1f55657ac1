"""The properties of images for which every network is built, and the output of every discriminator."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ganatomy.channels import Channels, count_arrays
from ganatomy.pyramid import Shape
from ganatomy.steps.condition import ConditionSpace


@dataclass(frozen=True)
class ImageSpace:
    """The properties of a recipe's images for which all its networks are built.

    Args:
        shape: voxels per axis of the final image.
        kinds: what the channels hold.
        latent: width of the latent code z.
        conditions: the facts that the model is conditioned on.
    """

    shape: Shape
    kinds: Channels
    latent: int
    conditions: ConditionSpace

    @property
    def channels(self) -> int:
        """Values per voxel: the arrays of all channels."""
        return count_arrays(self.kinds)


class DiscriminatorOutput(NamedTuple):
    """D(x), without sigmoid or softmax.

    `scores` is (batch,), or (batch, scores) for several branches. `labels` is (batch, `ConditionSpace.label_width`), of
    width zero without conditions.
    """

    scores: Tensor
    labels: Tensor
