"""What an objective is made of: players, draws, terms and phases."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganatomy import randomness
from ganatomy.steps.schedules import Constant, Schedule
from ganatomy.steps.scope import Images, Scope

Terms = dict[str, Tensor]  # named scalars; the loop minimises their sum and logs each


class Players(nn.ModuleDict):
    """The networks of a run by role: ``players["generator"]``."""

    def let_learn(self, roles: tuple[str, ...]) -> None:
        """Gradients for these roles only; all others are frozen."""
        for role, player in self.items():
            player.requires_grad_(role in roles)


@dataclass(frozen=True)
class Draw:
    """One batch as a loss sees it.

    Args:
        read: the regions of real images that the scope reads, each (batch, channel, *space) in [-1, 1].
        condition: (batch, conditions), one-hot groups side by side.
        groups: the width of each group.
        scope: the part of the image that this step looks at.
        seed: of the run.
        numbers: the global number of each image, which keys every random draw.

    `real` is what the scope cuts from `read`; `made` keeps fakes that two phases share.
    """

    read: Images
    condition: Tensor
    groups: tuple[int, ...]
    scope: Scope
    seed: int
    numbers: range
    real: Images = field(init=False)
    made: dict[str, Images] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", self.scope.crop(*self.read))

    def seen(self, real: Images) -> "Draw":
        """The same draw with other reals: those that a discriminator sees."""
        other = replace(self)
        object.__setattr__(other, "real", real)
        return other

    @property
    def image(self) -> Tensor:
        """The first region that was read; all of the image when the scope reads all of it."""
        return self.read[0]

    @property
    def step(self) -> int:
        """Counts batches; the same in every process."""
        return self.numbers.start // max(1, len(self.numbers) * self.numbers.step)

    def noise(self, purpose: str, width: int) -> Tensor:
        """Standard normal latent codes (batch, width)."""
        return randomness.normal(self.seed, purpose, self.numbers, width).to(self.image.device)

    def uniform(self, purpose: str) -> Tensor:
        """One number in [0, 1) an image: (batch,)."""
        return randomness.uniform(self.seed, purpose, self.numbers).to(self.image.device)


ONCE = Constant(value=1)


def _leave(players: Players) -> None:
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
    trains: tuple[str, ...]
    loss: Callable[[Players, Draw], Terms]
    updates: Schedule = ONCE
    constrain: Callable[[Players], None] = _leave
    part: str | None = None
    separable: bool = True


@runtime_checkable
class Encoding(Protocol):
    """An objective whose players can turn images into latent codes."""

    @property
    def encoders(self) -> tuple[str, ...]:
        """The roles that it takes."""
        ...

    def encode(self, players: Players, image: Tensor, condition: Tensor) -> Tensor:
        """Latent codes (batch, latent) of whole images (batch, channel, *space) in [-1, 1] with these conditions."""
        ...


def fakes(players: Players, draw: Draw, purpose: str, latent: int) -> Images:
    """Images of the generator for the draw's conditions, at the draw's scope."""
    images: Images = players["generator"](draw.noise(purpose, latent), draw.condition, draw.scope)
    return images


def shared_fakes(players: Players, draw: Draw, purpose: str, latent: int) -> Images:
    """The same, made once a draw with a graph, whoever learns at the moment: one phase takes them detached."""
    if purpose not in draw.made:
        frozen = [p for p in players["generator"].parameters() if not p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        draw.made[purpose] = fakes(players, draw, purpose, latent)
        for parameter in frozen:
            parameter.requires_grad_(False)
    return draw.made[purpose]


def frozen_fakes(players: Players, draw: Draw, purpose: str, latent: int) -> Images:
    """The same without a graph: for the discriminator's phase."""
    with torch.no_grad():
        return fakes(players, draw, purpose, latent)
