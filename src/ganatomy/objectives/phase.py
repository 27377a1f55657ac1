"""What an objective is made of: players, draws, terms and phases."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganatomy import randomness
from ganatomy.steps.condition import Condition
from ganatomy.steps.schedules import ConstantSchedule, Schedule
from ganatomy.steps.scope import ImageParts, Scope

Losses = dict[str, Tensor]  # named scalars; the loop minimises their sum and logs each


class Networks(nn.ModuleDict):
    """The networks of a run by role: ``players["generator"]``."""

    def set_trainable(self, roles: tuple[str, ...]) -> None:
        """Gradients for these roles only; all others are frozen."""
        for role, player in self.items():
            player.requires_grad_(role in roles)


@dataclass(frozen=True)
class Batch:
    """One batch as a loss sees it.

    Args:
        read: the regions of real images that the scope reads, each (batch, channel, *space) in [-1, 1].
        condition: of the images.
        scope: the part of the image that this step looks at.
        seed: of the run.
        numbers: the global number of each image, which keys every random draw.

    `real` is what the scope cuts from `read`; `made` keeps fakes that two phases share.
    """

    regions: ImageParts
    condition: Condition
    scope: Scope
    seed: int
    numbers: range
    real: ImageParts = field(init=False)
    cached_fakes: dict[str, ImageParts] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", self.scope.crop(*self.regions))

    def replace_reals(self, real: ImageParts) -> "Batch":
        """The same draw with other reals: those that a discriminator sees."""
        other = replace(self)
        object.__setattr__(other, "real", real)
        return other

    @property
    def image(self) -> Tensor:
        """The first region that was read; all of the image when the scope reads all of it."""
        return self.regions[0]

    @property
    def step(self) -> int:
        """Counts batches; the same in every process."""
        return self.numbers.start // max(1, len(self.numbers) * self.numbers.step)

    def draw_noise(self, purpose: str, width: int) -> Tensor:
        """Standard normal latent codes (batch, width)."""
        return randomness.draw_normal(self.seed, purpose, self.numbers, width).to(self.image.device)

    def draw_uniform(self, purpose: str) -> Tensor:
        """One number in [0, 1) an image: (batch,)."""
        return randomness.draw_uniform(self.seed, purpose, self.numbers).to(self.image.device)


ONE_UPDATE = ConstantSchedule(value=1)


def _constrain_nothing(networks: Networks) -> None:
    """Constrain nothing."""


@dataclass(frozen=True)
class Phase:
    """Who learns, from which loss, how often.

    Args:
        trains: roles whose weights move; all others are frozen while the loss is computed.
        updates: how many times in a step; each update beyond the first gets fresh images.
        constrain: runs after each update (weight clipping).
        part: of the strategy's timetable in which it runs; None = in all.
        separable: the loss is a mean over images, so that a batch may be computed in pieces.
    """

    name: str
    trained_roles: tuple[str, ...]
    compute_losses: Callable[[Networks, Batch], Losses]
    updates: Schedule = ONE_UPDATE
    constrain: Callable[[Networks], None] = _constrain_nothing
    stage: str | None = None
    separable: bool = True


@runtime_checkable
class EncodingObjective(Protocol):
    """An objective whose players can turn images into latent codes."""

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        """The roles that it takes."""
        ...

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Latent codes (batch, latent) of whole images (batch, channel, *space) in [-1, 1] with these conditions."""
        ...


def generate_fakes(networks: Networks, batch: Batch, purpose: str, latent: int) -> ImageParts:
    """Images of the generator for the draw's conditions, at the draw's scope."""
    images: ImageParts = networks["generator"](batch.draw_noise(purpose, latent), batch.condition, batch.scope)
    return images


def generate_shared_fakes(networks: Networks, batch: Batch, purpose: str, latent: int) -> ImageParts:
    """The same, made once a draw with a graph, whoever learns at the moment: one phase takes them detached."""
    if purpose not in batch.cached_fakes:
        frozen = [p for p in networks["generator"].parameters() if not p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        batch.cached_fakes[purpose] = generate_fakes(networks, batch, purpose, latent)
        for parameter in frozen:
            parameter.requires_grad_(False)
    return batch.cached_fakes[purpose]


def generate_detached_fakes(networks: Networks, batch: Batch, purpose: str, latent: int) -> ImageParts:
    """The same without a graph: for the discriminator's phase."""
    with torch.no_grad():
        return generate_fakes(networks, batch, purpose, latent)
