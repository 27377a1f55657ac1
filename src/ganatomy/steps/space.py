"""What every network is told when it is built, and what every discriminator answers."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from ganatomy.pyramid import Shape


@dataclass(frozen=True)
class ImageSpace:
    """The facts that a recipe says once and hands to all its networks.

    Args:
        shape: voxels per axis of the final image.
        channels: values per voxel.
        latent: width of the latent code z.
        conditions: width of the condition vector, zero when unconditional.
    """

    shape: Shape
    channels: int
    latent: int
    conditions: int


@runtime_checkable
class LatentGridConfig(Protocol):
    """Settings of a generator whose latent code is a grid that follows from the shape of the image."""

    def compute_latent_width(self, shape: Shape) -> int:
        """Width of the latent code for images of a shape."""
        ...

    def find_shape_problem(self, shape: Shape) -> str | None:
        """What is wrong with a shape, as the end of a sentence; None if nothing is."""
        ...


class DiscriminatorOutput(NamedTuple):
    """A discriminator's answer, without sigmoid or softmax.

    `scores` is (batch,), or (batch, scores) when several branches judge; `labels` (batch, conditions), width zero
    without conditions.
    """

    scores: Tensor
    labels: Tensor
