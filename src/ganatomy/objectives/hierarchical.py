"""HA-GAN's two reconstructions: the encoders learn to undo a generator that they never change (Sun 2022).

    high:    | G^H(E^H(x_r)) - x_r |                     x_r a sub-volume
    ground:  z = E^G(E^H over the whole volume);  ( | G^H(G^A(z))_r - x_r | + | G^L(G^A(z)) - x_low | ) / 2

The bars are mean absolute differences. As in the authors' code each loss steps one encoder and nothing else, so the
generator is the same with and without them; they can be trained afterwards from a finished one.
"""

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from ganatomy.config import Config
from ganatomy.objectives.phase import Batch, Losses, Networks, Phase
from ganatomy.steps.condition import Condition
from ganatomy.steps.hierarchy import compute_sub_volume_depth
from ganatomy.steps.modules import FeatureGenerator
from ganatomy.steps.scope import SubVolumeScope


class HierarchicalReconstruction(Config):
    """Phases for ``high_encoder`` and ``ground_encoder``; the scope must read the whole volume."""

    kind: Literal["hierarchical-reconstruction"] = "hierarchical-reconstruction"
    weight: float = Field(1, gt=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        def high(networks: Networks, batch: Batch) -> Losses:
            sub_volume = batch.real[0]
            generator = cast(FeatureGenerator, networks["generator"])
            again = generator.high(networks["high_encoder"](sub_volume))
            return {"high": self.weight * _difference(again, sub_volume)}

        def ground(networks: Networks, batch: Batch) -> Losses:
            scope = batch.scope
            assert isinstance(scope, SubVolumeScope)
            assert scope.whole, "the ground encoder needs the whole volume: strategy.whole must be true"
            with torch.no_grad():
                features = encode_high_features(networks, batch.image, scope.depth)
            generator = cast(FeatureGenerator, networks["generator"])
            made = generator.common(networks["ground_encoder"](features), batch.condition)
            again = generator.decode_features(made, scope)
            pairs = list(zip(again, batch.real, strict=True))
            return {"ground": self.weight * torch.stack([_difference(a, b) for a, b in pairs]).mean()}

        return Phase("high_encoder", ("high_encoder",), high), Phase("ground_encoder", ("ground_encoder",), ground)

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        return ("high_encoder", "ground_encoder")

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Latent codes (batch, latent); the high encoder sees one sub-volume after another, as it was trained."""
        code: Tensor = networks["ground_encoder"](
            encode_high_features(networks, image, compute_sub_volume_depth(image.shape[2]))
        )
        return code


def encode_high_features(networks: Networks, volume: Tensor, depth: int) -> Tensor:
    """E^H over the whole volume, one sub-volume of `depth` planes after another, side by side: as it is trained."""
    return torch.cat([networks["high_encoder"](part) for part in volume.split(depth, 2)], 2)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b).abs().mean()
