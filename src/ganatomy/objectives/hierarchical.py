"""HA-GAN's two reconstruction losses, by which the encoders learn to invert a fixed generator (Sun 2022).

    L^H_recon(E^H) = |x_r - G^H(E^H(x_r))|                                    x_r: a sub-volume of the volume x
    L^G_recon(E^G) = (|x_r - G^H(A)_r| + |x_low - G^L(A)|) / 2                A = G^A(E^G(E^H over all of x))

|·| is the mean absolute value over voxels; the factor 1/2 is that of the official code. As in the official code, each
loss updates one encoder only. The generator is therefore the same with and without encoders, and the encoders can be
trained later.
"""

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from ganatomy.config import Config
from ganatomy.objectives.phase import Batch, Losses, Networks, Phase
from ganatomy.steps.condition import Condition
from ganatomy.steps.hierarchy import compute_sub_volume_depth
from ganatomy.steps.missing import average_present
from ganatomy.steps.modules import FeatureGenerator
from ganatomy.steps.scope import SubVolumeScope


class HierarchicalReconstruction(Config):
    """E^H minimises weight · L^H_recon, E^G minimises weight · L^G_recon, as above   (Sun 2022).

    The scope must read the whole volume.

    Args:
        weight: weight of both losses.
    """

    kind: Literal["hierarchical-reconstruction"] = "hierarchical-reconstruction"
    weight: float = Field(1, gt=0)

    def build_phases(self, latent: int) -> tuple[Phase, ...]:
        """Build the phases of ``high_encoder`` and ``ground_encoder``."""

        def high(networks: Networks, batch: Batch) -> Losses:
            sub_volume = batch.real[0]
            generator = cast(FeatureGenerator, networks["generator"])
            again = generator.high(networks["high_encoder"](sub_volume))
            return {"high": self.weight * _difference(again, sub_volume, batch.condition)}

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
            return {"ground": self.weight * torch.stack([_difference(a, b, batch.condition) for a, b in pairs]).mean()}

        return Phase("high_encoder", ("high_encoder",), high), Phase("ground_encoder", ("ground_encoder",), ground)

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        """The roles whose networks `encode` calls."""
        return ("high_encoder", "ground_encoder")

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Return z = E^G(E^H over all of x), latent codes (batch, latent) of volumes (batch, channel, *space).

        E^H encodes one sub-volume after another, as in training.
        """
        code: Tensor = networks["ground_encoder"](
            encode_high_features(networks, image, compute_sub_volume_depth(image.shape[2]))
        )
        return code


def encode_high_features(networks: Networks, volume: Tensor, depth: int) -> Tensor:
    """Apply E^H to sub-volumes of `depth` planes one after another and join the results along the first axis."""
    return torch.cat([networks["high_encoder"](part) for part in volume.split(depth, 2)], 2)


def _difference(a: Tensor, b: Tensor, condition: Condition) -> Tensor:
    """Return |a - b|, the mean absolute difference over the arrays that the cases have."""
    return average_present((a.float() - b).abs(), condition)
