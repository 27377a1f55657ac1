"""Protocols of the methods that training, sampling and objectives call on a network besides its forward pass.

A role of a recipe is a plain `nn.Module`. Code that needs more of it casts it to one of these protocols. A network with
the methods of a protocol satisfies it without inheriting from it.
"""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, Scope, SubVolumeScope, WholeScope


class GeneratorModule(Protocol):
    """x = G(z, c): latent codes (batch, latent), conditions c and a scope -> the images of the scope in [-1, 1]."""

    def __call__(self, z: Tensor, condition: Condition, scope: Scope) -> ImageParts: ...

    def list_blocks(self) -> list[nn.Module]:
        """List the parts that may be recomputed or compiled separately in any scope; empty = none."""
        return []


class SlabGenerator(Protocol):
    """A generator that can generate a volume slab by slab; its configuration has `min_slab_planes`."""

    def generate_slabs(self, z: Tensor, condition: Condition, planes: int) -> Iterator[Tensor]:
        """Generate the volume as slabs (batch, channel, at most `planes`, *rest) along the first axis, in order."""
        ...


class DraftGenerator(Protocol):
    """A generator that can generate a small image of the same content; its configuration says `makes_drafts`."""

    def generate_draft(self, z: Tensor, condition: Condition) -> Tensor:
        """Generate the whole image at a lower resolution: (batch, channel, *lower resolution)."""
        ...


class StyledGenerator(Protocol):
    """A generator x = g(f(z, c)) in two parts, whose configuration has the `truncation_place` ``style``."""

    def map_codes(self, z: Tensor, condition: Condition) -> Tensor:
        """w = f(z, c): styles (batch, numbers)."""
        ...

    def decode_styles(self, w: Tensor, scope: Scope) -> ImageParts:
        """x = g(w): the images of the scope, from styles (batch, numbers)."""
        ...


class FeatureGenerator(Protocol):
    """A generator in two parts, x_r = G^H(A_r) and A = G^A(z, c), which HA-GAN's encoders invert (Sun 2022)."""

    common: nn.Module  # (batch, latent), condition -> features (batch, features, *quarter of the size)
    high: nn.Module  # features of some planes -> these planes at full size

    def decode_features(self, features: Tensor, scope: SubVolumeScope | WholeScope) -> ImageParts:
        """Generate the images of the scope from the features A of a whole volume."""
        ...


class FlowGenerator(Protocol):
    """A generator x = D(c), whose codes c come from a flow from noise (time 1) to codes (time 0) (Liu 2023)."""

    decoder: nn.Module  # codes (batch, channels, *grid) -> image
    scale: nn.Module  # codes -> codes of mean 0 and standard deviation 1; both are estimated from batches

    def standardise_codes(self, codes: Tensor) -> Tensor:
        """(c - μ) / σ with the running mean and standard deviation of each channel; codes (batch, channels, *grid)."""
        ...

    def predict_velocity(self, codes: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Predict v(c_t, t), the velocity of standardised codes (batch, channels, *grid) at times (batch,)."""
        ...

    def integrate_flow(self, codes: Tensor, condition: Condition, start: float, end: float) -> Tensor:
        """Integrate the flow of standardised codes from time `start` to time `end`."""
        ...


class TokenGenerator(Protocol):
    """A generator x = D(tokens), with p(tokenᵢ | tokens before i) for the tokens of rounded codes."""

    decoder: nn.Module  # rounded codes (batch, channels, *grid) -> image

    def quantise_codes(self, codes: Tensor) -> Tensor:
        """Round codes to their levels in [-1, 1]; the gradient ignores the rounding (straight-through estimator)."""
        ...

    def tokenise_codes(self, codes: Tensor) -> Tensor:
        """Compute the tokens (batch, tokens) to which the positions of the codes are rounded."""
        ...

    def predict_logits(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Predict the logits of p(tokenᵢ | tokens before i) for i = 0 to n from n tokens: (batch, n + 1, words)."""
        ...

    def encode_tokens(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Compute latent codes (batch, tokens) for which the generator draws these tokens."""
        ...
