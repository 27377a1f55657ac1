"""The base class of network configurations; its properties tell shared code all that it has to know of a network."""

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
    """Settings of a network. A new network defines `kind`, `build` and `make_tiny` and overrides what differs.

    Args:
        kind: the name of this kind of network in stored recipes; one line in `networks.table` registers it.
    """

    kind: str

    retired_fields: ClassVar[frozenset[str]] = frozenset()  # fields of earlier versions that have no effect any more

    @model_validator(mode="before")
    @classmethod
    def _drop_retired_fields(cls, given: Any) -> Any:
        """Remove retired fields, so that recipes of earlier versions remain readable."""
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if name not in cls.retired_fields}

    @abstractmethod
    def build(self, space: ImageSpace) -> nn.Module:
        """Build the module with weights from torch's global random generator; a generator is a `GeneratorModule`."""

    @abstractmethod
    def make_tiny(self) -> Self:
        """Return the same network with so few weights that it trains in seconds on the CPU of a laptop."""

    # ------------------------------------------------------------------------------------------------------------------
    # Properties of every network.

    @property
    def coupling(self) -> Coupling:
        """How the network makes the images of a batch depend on one another."""
        return NO_COUPLING

    @property
    def libraries(self) -> Mapping[str, int]:
        """Packages that only this network's modules import, and the bytes of memory that each import takes."""
        return {}

    @property
    def feature_layer(self) -> str | None:
        """The name, within the module, of the layer whose inputs serve as features of an image; None = no such layer.

        The squared difference of these features is a distance between two images (`studies.outliers`). If the layer is
        called several times in a pass, the inputs of the last call count.
        """
        return None

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Explain, as the end of a sentence, why images of a shape cannot be processed; None if they can."""
        return None

    def adapt_to_generator(self, generator: "NetworkConfig") -> Self:
        """Return the same network, changed so that it can learn from a trained generator with these settings."""
        return self

    # ------------------------------------------------------------------------------------------------------------------
    # Properties of generators.

    def compute_latent_width(self, shape: Shape) -> int | None:
        """Return the width of z that images of a shape need; None = any width."""
        return None

    @property
    def image_parts(self) -> int:
        """Number of images returned for a sub-volume: 2 for the sub-volume and the low-resolution volume."""
        return 1

    @property
    def truncation_place(self) -> TruncationPlace:
        """Where truncation can trade variety for typical samples   (Brock 2019; Karras 2019, appendix B).

        ``code``: z itself can be shortened. ``style``: the output of the mapping network can be moved towards its mean
        (`StyledGenerator`). ``nowhere``: normalisation leaves only the direction of z, so that shorter codes give the
        same images, or the effect has not been measured.
        """
        return "nowhere"

    @property
    def min_slab_planes(self) -> int | None:
        """The smallest number of planes of a slab if volumes can be generated in slabs (`SlabGenerator`), else None."""
        return None

    @property
    def makes_drafts(self) -> bool:
        """Whether the generator can also make a small image of the same content (`DraftGenerator`)."""
        return False

    def can_replace(self, other: "NetworkConfig") -> bool:
        """Whether this network may replace the other in a recipe; by default, if both are of the same kind."""
        return self.kind == other.kind
