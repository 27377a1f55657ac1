"""HA-GAN's two reconstructions: the encoders learn to undo a generator that they never change (Sun 2022).

    high:    | G^H(E^H(x_r)) - x_r |                     x_r a sub-volume
    ground:  z = E^G(E^H over the whole volume);  ( | G^H(G^A(z))_r - x_r | + | G^L(G^A(z)) - x_low | ) / 2

The bars are mean absolute differences. As in the authors' code each loss steps one encoder and nothing else, so the
generator is the same with and without them; they can be trained afterwards from a finished one.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.config import Value
from ganatomy.objectives.phase import Draw, Phase, Players, Terms
from ganatomy.steps.hierarchy import sub_volume_depth
from ganatomy.steps.scope import SubVolume


class HierarchicalReconstruction(Value):
    """Phases for ``high_encoder`` and ``ground_encoder``; the scope must read the whole volume."""

    kind: Literal["hierarchical-reconstruction"] = "hierarchical-reconstruction"
    weight: float = Field(1, gt=0)

    def phases(self, latent: int) -> tuple[Phase, ...]:
        def high(players: Players, draw: Draw) -> Terms:
            sub_volume = draw.real[0]
            again = _called(players["generator"], "high")(players["high_encoder"](sub_volume))
            return {"high": self.weight * _difference(again, sub_volume)}

        def ground(players: Players, draw: Draw) -> Terms:
            scope = draw.scope
            assert isinstance(scope, SubVolume)
            assert scope.whole, "the ground encoder needs the whole volume: strategy.whole must be true"
            with torch.no_grad():
                features = high_features(players, draw.image, scope.depth)
            common, images = (_called(players["generator"], part) for part in ("common", "images"))
            again = images(common(players["ground_encoder"](features), draw.condition), scope)
            pairs = list(zip(again, draw.real, strict=True))
            return {"ground": self.weight * torch.stack([_difference(a, b) for a, b in pairs]).mean()}

        return Phase("high_encoder", ("high_encoder",), high), Phase("ground_encoder", ("ground_encoder",), ground)

    @property
    def encoders(self) -> tuple[str, ...]:
        return ("high_encoder", "ground_encoder")

    def encode(self, players: Players, image: Tensor, condition: Tensor) -> Tensor:
        """Latent codes (batch, latent); the high encoder sees one sub-volume after another, as it was trained."""
        code: Tensor = players["ground_encoder"](high_features(players, image, sub_volume_depth(image.shape[2])))
        return code


def high_features(players: Players, volume: Tensor, depth: int) -> Tensor:
    """E^H over the whole volume, one sub-volume of `depth` planes after another, side by side: as it is trained."""
    return torch.cat([players["high_encoder"](part) for part in volume.split(depth, 2)], 2)


def _called(generator: nn.Module, part: str) -> Callable[..., Any]:
    """A named part of the generator that its docstring promises."""
    found: Callable[..., Any] = getattr(generator, part)
    return found


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b).abs().mean()
