"""Which part of the final image one training step looks at."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from ganatomy.nn.resample import enlarge, shrink
from ganatomy.pyramid import Shape

Images = tuple[Tensor, ...]  # (whole image,)  or  (sub-volume, low-resolution volume); each (batch, channel, *space)


@runtime_checkable
class Scope(Protocol):
    """A part of the final image at some resolution; the generator returns, and `crop` cuts, the same tuple."""

    @property
    def reads(self) -> Shape:
        """The size that `crop` wants to be given, or the next larger one that is stored."""
        ...

    def crop(self, image: Tensor) -> Images:
        """The part of real images (batch, channel, *space) that this step looks at."""
        ...


@dataclass(frozen=True)
class Level:
    """Progressive growing: the whole image at one level of the pyramid, fading in over the level below.

    Args:
        level: 0 is the base of the pyramid.
        alpha: share of the new level, 0 to 1; 1 = this level only.
        shape: voxels per axis of this level.
    """

    level: int
    alpha: float
    shape: Shape

    @property
    def reads(self) -> Shape:
        return self.shape

    def crop(self, image: Tensor) -> Images:
        factor = image.shape[-1] // self.shape[-1]
        image = shrink(image, factor) if factor > 1 else image
        if self.alpha < 1:  # reals fade as the generator fades (official code: process_reals)
            image = enlarge(shrink(image)).lerp(image, self.alpha)
        return (image,)
