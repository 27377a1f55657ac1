"""What the configuration of every network answers, so that shared code never asks which network it has."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator
from torch import nn

from ganatomy.config import Config
from ganatomy.pyramid import Shape
from ganatomy.steps.coupling import NO_COUPLING, Coupling
from ganatomy.steps.space import ImageSpace

TruncationPlace = Literal["code", "style", "nowhere"]


class NetworkConfig(Config, ABC):
    """Settings of a network. A new network defines `kind`, `build` and `make_tiny`, and overrides what differs in it.

    Args:
        kind: the name of this kind of network in recipes on disk; one line in `networks.table` registers it.
    """

    kind: str

    retired_fields: ClassVar[frozenset[str]] = frozenset()  # of earlier versions, without meaning in this one

    @model_validator(mode="before")
    @classmethod
    def _drop_retired_fields(cls, given: Any) -> Any:
        """Recipes on disk that have them stay readable."""
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if name not in cls.retired_fields}

    @abstractmethod
    def build(self, space: ImageSpace) -> nn.Module:
        """The module with fresh weights from torch's global generator; for a generator it is a `GeneratorModule`."""

    @abstractmethod
    def make_tiny(self) -> Self:
        """The same network with few enough weights to train on a laptop's processor in seconds."""

    # ------------------------------------------------------------------------------------------------------------------
    # Questions to every network.

    @property
    def coupling(self) -> Coupling:
        """How the network makes the images of a batch depend on one another."""
        return NO_COUPLING

    @property
    def libraries(self) -> Mapping[str, int]:
        """Packages that only this network's modules import, with the bytes that each import takes."""
        return {}

    @property
    def feature_layer(self) -> str | None:
        """The name, within the module, of the layer whose inputs tell images apart; None = there is no such layer.

        The squared difference of these inputs is a distance between two images (`studies.outliers`). Where the layer
        runs several times in a pass, its last inputs count.
        """
        return None

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Why images of a shape cannot be made, as the end of a sentence; None if they can."""
        return None

    def adapt_to_generator(self, generator: "NetworkConfig") -> Self:
        """The same network for learning from a finished generator with these settings."""
        return self

    # ------------------------------------------------------------------------------------------------------------------
    # Questions to generators.

    def compute_latent_width(self, shape: Shape) -> int | None:
        """The width of z that the network needs for images of a shape; None = any width."""
        return None

    @property
    def image_parts(self) -> int:
        """How many images the generator returns for a sub-volume: 2 = the sub-volume and the low-resolution volume."""
        return 1

    @property
    def truncation_place(self) -> TruncationPlace:
        """Where samples can be drawn towards the usual, at the cost of variety   (Brock 2019; Karras 2019, appendix B).

        ``code``: in the numbers of z, which the network takes as they are. ``style``: between its mapping network and
        the rest (`StyledGenerator`). ``nowhere``: its normalisations leave only the direction of z, so that shorter
        codes give the same images, or nobody has measured that they help.
        """
        return "nowhere"

    @property
    def min_slab_planes(self) -> int | None:
        """The fewest planes of a slab if it makes volumes in slabs (`SlabGenerator`); None = it does not."""
        return None

    def can_replace(self, other: "NetworkConfig") -> bool:
        """Whether it may stand in a recipe in place of the other; by default, if both are of one kind."""
        return self.kind == other.kind
