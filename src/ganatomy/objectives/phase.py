"""The elements of an objective: networks by role, a batch with its random numbers, and phases of learning."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganatomy import randomness
from ganatomy.channels import ONE_IMAGE, Channels
from ganatomy.steps.condition import Condition
from ganatomy.steps.missing import hide_missing
from ganatomy.steps.schedules import ConstantSchedule, Schedule
from ganatomy.steps.scope import ImageParts, Scope
from ganatomy.steps.space import DiscriminatorOutput

Losses = dict[str, Tensor]  # named scalars; the loop minimises their sum and logs each of them


class Networks(nn.ModuleDict):
    """The networks of a run by role, such as ``networks["generator"]``."""

    _frozen: tuple[str, ...] = ()

    def freeze_parts(self, parts: tuple[str, ...]) -> None:
        """Exclude parts from all updates: modules or weights by name, such as ``discriminator.high.tower``.

        A frozen module runs in evaluation mode, so its running statistics and power iterations do not change either.

        Raises:
            AttributeError: there is no such part.
        """
        for part in parts:
            self._get_part(part).requires_grad_(False)
            if isinstance(module := self._get_part(part), nn.Module):
                module.eval()
        self._frozen = parts

    def set_trainable(self, roles: tuple[str, ...]) -> None:
        """Compute gradients for the weights of these roles only, without their frozen parts."""
        for role, player in self.items():
            player.requires_grad_(role in roles)
        for part in self._frozen:
            self._get_part(part).requires_grad_(False)

    def list_learnable(self, role: str) -> list[nn.Parameter]:
        """List the weights of a role that are not in a frozen part."""
        frozen = tuple(f"{part}." for part in self._frozen)
        named = self[role].named_parameters()
        return [weight for name, weight in named if not f"{role}.{name}.".startswith(frozen)]

    def _get_part(self, part: str) -> nn.Module | nn.Parameter:
        try:
            return self.get_submodule(part)
        except AttributeError:
            return self.get_parameter(part)


@dataclass(frozen=True)
class Batch:
    """One batch, from which a loss is computed.

    Args:
        regions: the regions of real images that the scope reads, each (batch, channel, *space) in [-1, 1].
        condition: condition of the images.
        scope: the part of the image that this step computes.
        seed: seed of the run.
        numbers: the global number of each image; together with the seed it determines all random numbers of the image.
        kinds: what the channels hold.
        real: x, which the scope crops from `regions`.
        cached_fakes: fakes that two phases share, by purpose.
    """

    regions: ImageParts
    condition: Condition
    scope: Scope
    seed: int
    numbers: range
    kinds: Channels = ONE_IMAGE
    real: ImageParts = field(init=False)
    cached_fakes: dict[str, ImageParts] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", self.scope.crop(*self.regions))

    def replace_reals(self, real: ImageParts) -> "Batch":
        """Return the same batch with other real images, such as augmented ones."""
        other = replace(self)
        object.__setattr__(other, "real", real)
        return other

    @property
    def image(self) -> Tensor:
        """The first region, which is the whole image if the scope reads the whole image."""
        return self.regions[0]

    @property
    def step(self) -> int:
        """The number of the batch, counted from 0; it is the same in every process."""
        return self.numbers.start // max(1, len(self.numbers) * self.numbers.step)

    def draw_noise(self, purpose: str, width: int) -> Tensor:
        """Draw standard normal latent codes z (batch, width)."""
        return randomness.draw_normal(self.seed, purpose, self.numbers, width).to(self.image.device)

    def draw_uniform(self, purpose: str) -> Tensor:
        """Draw one number u, uniform in [0, 1), for each image: (batch,)."""
        return randomness.draw_uniform(self.seed, purpose, self.numbers).to(self.image.device)


ONE_UPDATE = ConstantSchedule(value=1)


def _constrain_nothing(networks: Networks) -> None:
    """Leave all weights as they are."""


@dataclass(frozen=True)
class Phase:
    """One part of a training step: the networks that learn, their loss, and the number of updates.

    Args:
        name: name in the log.
        trained_roles: roles whose weights are updated; all others are frozen while the loss is computed.
        compute_losses: computes the named losses, whose sum is minimised.
        updates: updates per step; each update after the first gets new images.
        constrain: called after each update (weight clipping).
        stage: the stage of the strategy in which the phase runs; None = in all stages.
        separable: whether the loss is a mean over images, so that a batch may be divided into micro-batches.
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
    """An objective whose networks can turn images into latent codes."""

    @property
    def encoder_roles(self) -> tuple[str, ...]:
        """The roles whose networks `encode` calls, besides the generator."""
        ...

    def encode(self, networks: Networks, image: Tensor, condition: Condition) -> Tensor:
        """Return latent codes (batch, latent) of whole images (batch, channel, *space) in [-1, 1] with `condition`."""
        ...


def generate_fakes(networks: Networks, batch: Batch, purpose: str, latent: int) -> ImageParts:
    """Return G(z, c) for the condition c and scope of the batch; z is drawn for `purpose`   (Goodfellow 2014)."""
    images: ImageParts = networks["generator"](batch.draw_noise(purpose, latent), batch.condition, batch.scope)
    return images


def generate_shared_fakes(networks: Networks, batch: Batch, purpose: str, latent: int) -> ImageParts:
    """Return G(z, c) with its graph, computed once per batch and purpose; the discriminator's phase detaches it.

    The graph includes the generator's weights even if the generator is frozen at the time of the first call.
    """
    if purpose not in batch.cached_fakes:
        frozen = [p for p in networks.list_learnable("generator") if not p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        batch.cached_fakes[purpose] = generate_fakes(networks, batch, purpose, latent)
        for parameter in frozen:
            parameter.requires_grad_(False)
    return batch.cached_fakes[purpose]


def generate_detached_fakes(networks: Networks, batch: Batch, purpose: str, latent: int) -> ImageParts:
    """Return G(z, c) without a graph, for phases in which the generator does not learn."""
    with torch.no_grad():
        return generate_fakes(networks, batch, purpose, latent)


def score_images(discriminator: nn.Module, images: ImageParts, batch: Batch) -> DiscriminatorOutput:
    """Return D(images) for the condition and scope of the batch; arrays that its cases lack are hidden from D."""
    verdict: DiscriminatorOutput = discriminator(hide_missing(images, batch.condition), batch.condition, batch.scope)
    return verdict
