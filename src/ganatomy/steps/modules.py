"""What the loop, the sampling and the objectives call on the modules of networks, besides their forward pass.

A role of a recipe gives a plain `nn.Module`; who needs more of it says here what, and `cast`s to it. A network that has
the methods fits; it need not inherit from anything.
"""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, Scope, SubVolumeScope, WholeScope


class GeneratorModule(Protocol):
    """Every generator: latent codes (batch, latent), conditions and a scope -> the images of the scope in [-1, 1]."""

    def __call__(self, z: Tensor, condition: Condition, scope: Scope) -> ImageParts: ...

    def list_blocks(self) -> list[nn.Module]:
        """The parts that may be recomputed or compiled, each by itself, whatever the scope; empty = none."""
        return []


class SlabGenerator(Protocol):
    """A generator whose configuration says `min_slab_planes`: it makes a volume slab by slab."""

    def generate_slabs(self, z: Tensor, condition: Condition, planes: int) -> Iterator[Tensor]:
        """The whole volume as slabs (batch, channel, at most `planes`, *rest) along the first axis, in order."""
        ...


class FeatureGenerator(Protocol):
    """A generator in two parts that meet in features of the whole volume: what HA-GAN's encoders learn to undo."""

    common: nn.Module  # (batch, latent), condition -> features (batch, features, *quarter of the size)
    high: nn.Module  # features of some planes -> these planes at full size

    def decode_features(self, features: Tensor, scope: SubVolumeScope | WholeScope) -> ImageParts:
        """What the scope shows of the features of a whole volume."""
        ...


class FlowGenerator(Protocol):
    """A generator that makes images of codes, and codes by a flow from noise (time 1) to codes (time 0)."""

    decoder: nn.Module  # codes (batch, channels, *grid) -> image
    scale: nn.Module  # codes -> codes of mean 0 and deviation 1, learning both from the batch

    def standardise_codes(self, codes: Tensor) -> Tensor:
        """Codes (batch, channels, *grid) of mean 0 and deviation 1 in every channel, as known so far."""
        ...

    def predict_velocity(self, codes: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Where scaled codes (batch, channels, *grid) at times (batch,) flow to."""
        ...

    def integrate_flow(self, codes: Tensor, condition: Condition, start: float, end: float) -> Tensor:
        """Scaled codes after the flow from one time to another."""
        ...


class TokenGenerator(Protocol):
    """A generator that makes images of rounded codes, and the codes as tokens, each predicted from those before it."""

    decoder: nn.Module  # rounded codes (batch, channels, *grid) -> image

    def quantise_codes(self, codes: Tensor) -> Tensor:
        """Codes bounded and rounded to the levels, in [-1, 1]; gradients pass straight on."""
        ...

    def tokenise_codes(self, codes: Tensor) -> Tensor:
        """The word (batch, tokens) that every code is rounded to."""
        ...

    def predict_logits(self, tokens: Tensor, condition: Condition) -> Tensor:
        """(batch, n + 1, words): what follows nothing, and what follows each beginning of tokens (batch, n)."""
        ...

    def encode_tokens(self, tokens: Tensor, condition: Condition) -> Tensor:
        """The latent codes (batch, tokens) in the middle of those that these tokens are drawn for."""
        ...
