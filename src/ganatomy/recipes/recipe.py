"""Recipe: a model and its training as one plain value."""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from ganatomy.config import Config
from ganatomy.errors import Refused
from ganatomy.networks.autoencoder import GridEncoder
from ganatomy.networks.autoregressive import AutoregressiveGenerator
from ganatomy.networks.convolutional import (
    CodeDiscriminator,
    ConvolutionalDiscriminator,
    ConvolutionalEncoder,
    ConvolutionalGenerator,
)
from ganatomy.networks.diffusion import LatentDiffusionGenerator
from ganatomy.networks.hierarchical import GroundEncoder, HierarchicalGenerator, HighEncoder
from ganatomy.networks.hierarchical_discriminator import HierarchicalDiscriminator
from ganatomy.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from ganatomy.networks.style import ResidualDiscriminator, StyleGenerator
from ganatomy.nn.across import BatchNorm
from ganatomy.nn.norm import find_group_size
from ganatomy.objectives.adversarial import Adversarial
from ganatomy.objectives.autoencoding import VAE, VAEGAN, AlphaGAN
from ganatomy.objectives.hierarchical import HierarchicalReconstruction
from ganatomy.objectives.latent import Autoregressive, LatentDiffusion
from ganatomy.objectives.phase import EncodingObjective, Networks, Phase
from ganatomy.pyramid import Shape
from ganatomy.steps.schedules import ConstantSchedule, Schedule
from ganatomy.steps.scope import Scope
from ganatomy.steps.space import ImageSpace, LatentGridConfig
from ganatomy.steps.strategies import Strategy, TrainingStep

NetworkConfig = Annotated[
    ProgressiveGenerator
    | ProgressiveDiscriminator
    | HierarchicalGenerator
    | HierarchicalDiscriminator
    | HighEncoder
    | GroundEncoder
    | ConvolutionalGenerator
    | ConvolutionalDiscriminator
    | ConvolutionalEncoder
    | CodeDiscriminator
    | StyleGenerator
    | ResidualDiscriminator
    | GridEncoder
    | LatentDiffusionGenerator
    | AutoregressiveGenerator,
    Field(discriminator="kind"),
]
Objective = Annotated[
    Adversarial | HierarchicalReconstruction | AlphaGAN | VAEGAN | VAE | LatentDiffusion | Autoregressive,
    Field(discriminator="kind"),
]
TINY_STEPS, TINY_LATENT = 60, 16


class Adam(Config):
    """Adam (Kingma 2015); `lr` is a number or a schedule over images seen."""

    lr: Schedule = ConstantSchedule(value=1e-3)
    betas: tuple[float, float] = (0.0, 0.99)
    eps: float = Field(1e-8, gt=0)


class Recipe(Config):
    """Everything that defines a model and its training; nothing that depends on the machine.

    Args:
        shape: voxels per axis of the final image; the levels and the base follow from it (`pyramid`).
        channels: values per voxel.
        latent: width of the latent code z.
        conditions: the facts that images are conditioned on, with their accepted values, in the order of the
            condition vector.
        networks: a configuration for each role. A role without an optimiser does not learn: its weights are given.
        order: of the training images. ``shuffled`` anew in every epoch; ``stored`` = the same batches in the same order
            for ever (HA-GAN's authors' code), what is left over by whole batches never seen.
        ema_half_life_kimg: half-life of the generator's moving average, in thousands of images; 0 = no average.
        total_kimg: when training ends, in thousands of real images shown to the discriminator.
    """

    format: Literal[1] = 1
    name: str
    shape: tuple[Annotated[int, Field(ge=4)], ...] = Field(min_length=2, max_length=3)
    channels: int = Field(1, ge=1)
    latent: int = Field(512, ge=1)
    conditions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    networks: dict[str, NetworkConfig]
    objectives: tuple[Objective, ...]
    strategy: Strategy
    optimizers: dict[str, Adam]
    order: Literal["shuffled", "stored"] = "shuffled"
    ema_half_life_kimg: float = Field(10, ge=0)
    total_kimg: float = Field(15_000, gt=0)

    @model_validator(mode="after")
    def _every_network_learns(self) -> "Recipe":
        if unknown := set(self.optimizers) - set(self.networks):
            raise ValueError(f"there are optimizers for {sorted(unknown)} and networks {sorted(self.networks)}")
        learners = {role for phase in self.build_phases() for role in phase.trained_roles}
        if learners != set(self.optimizers):
            raise ValueError(f"the objectives train {sorted(learners)}, optimizers are for {sorted(self.optimizers)}")
        return self

    @model_validator(mode="after")
    def _the_shape_can_be_made(self) -> "Recipe":
        if objection := self.find_shape_problem(self.shape):
            raise ValueError(objection)
        if self.latent != (width := self._compute_latent_width(self.shape)):
            raise ValueError(f"the latent code of this generator has {width} numbers for this shape")
        return self

    @model_validator(mode="after")
    def _something_learns_at_all_times(self) -> "Recipe":
        for _, step in self.strategy.make_timetable(self.shape):
            if not self.build_phases(step.stage):
                raise ValueError(f"no objective trains in the part {step.stage!r} of the strategy's timetable")
        return self

    @property
    def pretrained_roles(self) -> tuple[str, ...]:
        """Roles whose weights come from a snapshot."""
        return tuple(role for role in self.networks if role not in self.optimizers)

    @property
    def groups(self) -> tuple[int, ...]:
        """Widths of the one-hot groups of the condition vector."""
        return tuple(len(values) for values in self.conditions.values())

    @property
    def total_images(self) -> int:
        return round(self.total_kimg * 1000)

    @property
    def space(self) -> ImageSpace:
        return ImageSpace(self.shape, self.channels, self.latent, sum(self.groups))

    def build(self) -> Networks:
        """The networks with fresh weights from torch's global generator; seed it first."""
        return Networks({role: config.build(self.space) for role, config in self.networks.items()})

    def build_meta_networks(self) -> Networks:
        """The networks with shapes and no numbers; nothing is allocated."""
        with torch.device("meta"):
            return self.build()

    def build_generator(self) -> nn.Module:
        return self.networks["generator"].build(self.space)

    def build_phases(self, stage: str | None = None) -> tuple[Phase, ...]:
        """All phases, or those that run in a part of the strategy's timetable."""
        every = (phase for objective in self.objectives for phase in objective.build_phases(self.latent))
        return tuple(phase for phase in every if stage is None or phase.stage in (None, stage))

    def find_shape_problem(self, shape: Shape) -> str | None:
        """What is wrong with a shape, as the end of a sentence; None if nothing is."""
        generator = self.networks.get("generator")
        theirs = generator.find_shape_problem(shape) if isinstance(generator, LatentGridConfig) else None
        return self.strategy.find_shape_problem(shape) or theirs

    def _compute_latent_width(self, shape: Shape) -> int:
        generator = self.networks.get("generator")
        return generator.compute_latent_width(shape) if isinstance(generator, LatentGridConfig) else self.latent

    @property
    def encoding_objective(self) -> EncodingObjective | None:
        """The objective that turns images into latent codes, if there is one."""
        return next((objective for objective in self.objectives if isinstance(objective, EncodingObjective)), None)

    def plan_step(self, images_seen: int, seed: int) -> TrainingStep:
        return self.strategy.plan_step(images_seen, self.shape, seed)

    def get_sampling_scope(self, images_seen: int) -> Scope:
        """What the generator makes when it is asked for whole images."""
        return self.strategy.get_sampling_scope(images_seen, self.shape)

    def get_final_scope(self) -> Scope:
        return self.strategy.get_final_scope(self.shape)

    def make_timetable(self) -> list[tuple[float, TrainingStep]]:
        return [(kimg, moment) for kimg, moment in self.strategy.make_timetable(self.shape) if kimg < self.total_kimg]

    def find_split_problem(self, pieces: int) -> str | None:
        """Why the images of a batch cannot be computed in so many pieces, one after another; None if they can."""
        if any(isinstance(part, BatchNorm) for part in self.build_meta_networks().modules()):
            return "its batch normalisation takes the mean of all images of a batch"
        if any(not phase.separable for phase in self.build_phases()):
            return "its loss is not a mean over images"
        groups = {config.group for config in self.networks.values() if isinstance(config, ProgressiveDiscriminator)}
        for _, step in self.make_timetable():
            if any(step.batch_size // find_group_size(step.batch_size, group) % pieces for group in groups):
                return (
                    f"its discriminator compares images of a batch of {step.batch_size} in groups; give fewer, larger"
                    " batches, or --set networks.discriminator.group=1"
                )
        return None

    def resize(self, shape: Shape) -> "Recipe":
        """The same recipe for images of another size.

        Raises:
            Refused: the size has another number of axes, or the strategy cannot make it.
        """
        flag = f"--shape {','.join(map(str, shape))}"
        if len(shape) != len(self.shape):
            raise Refused(f"{flag} does not fit {self.name}: it makes images of {len(self.shape)} axes.")
        if objection := self.find_shape_problem(shape):
            raise Refused(f"{flag} does not fit {self.name}: {objection}.")
        return self.model_copy(update={"shape": shape, "latent": self._compute_latent_width(shape)})

    def make_tiny(self) -> "Recipe":
        """The same recipe, small enough to train on a laptop's processor in seconds."""
        strategy, shape = self.strategy.make_tiny(self.shape)
        generator = self.networks["generator"]
        return self.model_copy(
            update={
                "shape": shape,
                "latent": generator.compute_latent_width(shape)
                if isinstance(generator, LatentGridConfig)
                else TINY_LATENT,
                "networks": {role: config.make_tiny() for role, config in self.networks.items()},
                "strategy": strategy,
                "ema_half_life_kimg": min(0.064, self.ema_half_life_kimg),
                "total_kimg": TINY_STEPS * strategy.plan_step(0, shape, 0).batch_size / 1000,
            }
        )

    def adapt_to_generator(self, generator_recipe: "Recipe") -> "Recipe":
        """This recipe for a generator that another recipe has trained: its networks of one kind get the same widths.

        Raises:
            Refused: this recipe trains its own generator, or the other one makes another kind of image.
        """
        theirs = generator_recipe.networks["generator"]
        mine = self.networks["generator"]
        if "generator" not in self.pretrained_roles:
            raise Refused(f"{self.name} trains its own generator; leave --generator out.")
        if mine.kind != theirs.kind:
            raise Refused(f"{self.name} needs a {mine.kind}; {generator_recipe.name} has a {theirs.kind}.")
        low = "low" if getattr(theirs, "low", False) else None
        widths = {"features": theirs.features, "groups": theirs.groups}  # type: ignore[union-attr]
        networks = {role: config.model_copy(update=widths) for role, config in self.networks.items()}
        strategy = self.strategy if low else self.strategy.model_copy(update={"low": None})
        return self.model_copy(
            update={
                "shape": generator_recipe.shape,
                "channels": generator_recipe.channels,
                "latent": generator_recipe.latent,
                "conditions": generator_recipe.conditions,
                "networks": {**networks, "generator": theirs},
                "strategy": strategy,
            }
        )

    def can_continue(self, other: "Recipe") -> bool:
        """Whether a run of `other` may be taken further by this recipe: all is equal but the end."""
        return self.model_copy(update={"total_kimg": other.total_kimg}) == other
