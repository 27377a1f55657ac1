"""What every network's configuration answers, so that no shared part has to ask which network it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

from torch import nn

from ganatomy.config import Config
from ganatomy.pyramid import Shape
from ganatomy.steps.coupling import NO_COUPLING, Coupling
from ganatomy.steps.space import ImageSpace


class NetworkConfig(Config, ABC):
    """Settings of a network. A new network gives `kind`, `build` and `make_tiny`, and overrides what is special of it.

    Args:
        kind: the name of this sort of network in recipes on disk; one line in `networks.table` says whose it is.
    """

    kind: str

    @abstractmethod
    def build(self, space: ImageSpace) -> nn.Module:
        """The module with fresh weights from torch's global generator; a generator's is a `GeneratorModule`."""

    @abstractmethod
    def make_tiny(self) -> Self:
        """The same network with so few weights that a laptop's processor trains it in seconds."""

    # ------------------------------------------------------------------------------------------------------------------
    # Of every network.

    @property
    def coupling(self) -> Coupling:
        """How the images of a batch depend on one another in it."""
        return NO_COUPLING

    @property
    def libraries(self) -> Mapping[str, int]:
        """Packages that its modules import and other trainings do not, and the bytes that each import takes."""
        return {}

    @property
    def feature_layer(self) -> str | None:
        """The name, within the module, of the layer whose inputs tell images apart; None = there is no such layer.

        The squared difference of these inputs is a distance between two images (`studies.outliers`). A layer that runs
        several times in a pass counts with its last.
        """
        return None

    def find_shape_problem(self, shape: Shape) -> str | None:
        """What is wrong with images of a shape, as the end of a sentence; None if nothing is."""
        return None

    def adapt_to_generator(self, generator: "NetworkConfig") -> Self:
        """The same network where it learns from a finished generator with these settings."""
        return self

    # ------------------------------------------------------------------------------------------------------------------
    # Of a generator.

    def compute_latent_width(self, shape: Shape) -> int | None:
        """Width of the latent code for images of a shape; None = any will do."""
        return None

    @property
    def image_parts(self) -> int:
        """How many images it returns for a step that sees a part of the volume finely and the whole coarsely."""
        return 1

    @property
    def min_slab_planes(self) -> int | None:
        """The fewest planes of a slab where it makes volumes slab by slab (`SlabGenerator`); None = it does not."""
        return None

    def can_replace(self, other: "NetworkConfig") -> bool:
        """Whether it may stand where a recipe has the other; by default, whether both are of one kind."""
        return self.kind == other.kind
