"""The class `Recipe`: a model and its training as one value."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from ganatomy.channels import ONE_IMAGE, Channels
from ganatomy.config import Config, suggest_name
from ganatomy.errors import Refused
from ganatomy.networks.table import AnyNetwork
from ganatomy.objectives.adversarial import Adversarial
from ganatomy.objectives.autoencoding import VAE, VAEGAN, AlphaGAN
from ganatomy.objectives.hierarchical import HierarchicalReconstruction
from ganatomy.objectives.latent import Autoregressive, LatentDiffusion
from ganatomy.objectives.phase import EncodingObjective, Networks, Phase
from ganatomy.pyramid import Shape
from ganatomy.steps.condition import ConditionSpace
from ganatomy.steps.number import NumberScale
from ganatomy.steps.schedules import ConstantSchedule, LinearSchedule, RisingSchedule, Schedule
from ganatomy.steps.scope import Scope
from ganatomy.steps.space import ImageSpace
from ganatomy.steps.strategies import Strategy, TrainingStep

Objective = Annotated[
    Adversarial | HierarchicalReconstruction | AlphaGAN | VAEGAN | VAE | LatentDiffusion | Autoregressive,
    Field(discriminator="kind"),
]
TINY_STEPS, TINY_LATENT = 60, 16
NAME_PATTERN = re.compile(r"[^\W_][\w .,+()-]{0,79}")  # a recipe's name, which becomes part of a folder's name


class Adam(Config):
    """Adam (Kingma 2015); `lr` is a number or a schedule over images seen."""

    lr: Schedule = ConstantSchedule(value=1e-3)
    betas: tuple[float, float] = (0.0, 0.99)
    eps: float = Field(1e-8, gt=0)


def _suggest_part(networks: Networks, part: str) -> str:
    """Say that a network has no such part, and suggest existing parts."""
    known = networks
    for depth, name in enumerate(words := part.split(".")):
        names = [child for child, _ in known.named_children()] + [
            weight for weight, _ in known.named_parameters(recurse=False)
        ]
        if name not in names:
            where = ".".join(words[:depth]) or "the model"
            return f"{where} has no part {name!r}; {suggest_name(name, names)}"
        known = getattr(known, name)
    return f"{part} is not a part of a network"


class Recipe(Config):
    """All settings that define a model and its training, without those that depend on the machine.

    Args:
        shape: voxels per axis of the final image; the levels and the base follow from it (`pyramid`).
        channels: what each image has per voxel: images, and the classes of a label map. A number stands for so many
            images.
        latent: width of the latent code z.
        conditions: the facts that images are conditioned on, with their accepted values, in the order of the
            condition vector.
        numbers: the facts that images are conditioned on as numbers, each with its scale and range.
        networks: a configuration for each role. A role without an optimiser does not learn: its weights are given.
        order: order of the training images. ``shuffled`` = shuffled in every epoch; ``stored`` = the same batches in
            the same order in every epoch (official code of HA-GAN), without the cases that do not fill a batch.
        ema_half_life_kimg: half-life of the generator's moving average, in thousands of images; 0 = no average.
        total_kimg: length of the training, in thousands of real images that the discriminator has scored.
        frozen: parts of networks that do not learn, such as ``discriminator.high.tower.convs.0``; they keep the weights
            with which a training begins (FreezeD: Mo 2020).
    """

    format: Literal[1] = 1
    name: str
    shape: tuple[Annotated[int, Field(ge=4)], ...] = Field(min_length=2, max_length=3)
    channels: Channels = ONE_IMAGE
    latent: int = Field(512, ge=1)
    conditions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    numbers: dict[str, NumberScale] = Field(default_factory=dict)
    networks: dict[str, AnyNetwork]
    objectives: tuple[Objective, ...]
    strategy: Strategy
    optimizers: dict[str, Adam]
    order: Literal["shuffled", "stored"] = "shuffled"
    ema_half_life_kimg: float = Field(10, ge=0)
    total_kimg: float = Field(15_000, gt=0)
    frozen: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _the_name_is_no_path(cls, name: str) -> str:
        if not NAME_PATTERN.fullmatch(name):
            raise ValueError(
                "a name has at most 80 letters, digits, blanks and . , + - _ ( ), and begins with a letter or digit:"
                " it is part of a folder's name and never a path"
            )
        return name

    @model_validator(mode="after")
    def _every_network_learns(self) -> "Recipe":
        if unknown := set(self.optimizers) - set(self.networks):
            raise ValueError(f"there are optimizers for {sorted(unknown)} and networks {sorted(self.networks)}")
        learners = {role for phase in self.build_phases() for role in phase.trained_roles}
        if learners != set(self.optimizers):
            raise ValueError(f"the objectives train {sorted(learners)}, optimizers are for {sorted(self.optimizers)}")
        return self

    @model_validator(mode="after")
    def _a_fact_is_a_class_or_a_number(self) -> "Recipe":
        if both := sorted(set(self.conditions) & set(self.numbers)):
            raise ValueError(f"{both[0]} is both a condition and a number; remove one of them")
        return self

    @model_validator(mode="after")
    def _the_shape_can_be_made(self) -> "Recipe":
        if objection := self.find_shape_problem(self.shape):
            raise ValueError(objection)
        if self.latent != (width := self._compute_latent_width(self.shape, self.latent)):
            raise ValueError(f"the latent code of this generator has {width} numbers for this shape")
        return self

    @model_validator(mode="after")
    def _something_learns_at_all_times(self) -> "Recipe":
        for _, step in self.strategy.make_timetable(self.shape):
            if not self.build_phases(step.stage):
                raise ValueError(f"no objective trains in the part {step.stage!r} of the strategy's timetable")
        return self

    @model_validator(mode="after")
    def _what_is_frozen_exists_and_leaves_something_to_learn(self) -> "Recipe":
        if not self.frozen:
            return self
        with torch.device("meta"):
            networks = Networks({role: config.build(self.space) for role, config in self.networks.items()})
        for part in self.frozen:
            try:
                networks.freeze_parts((part,))
            except (AttributeError, KeyError) as error:
                raise ValueError(_suggest_part(networks, part)) from error
        networks.freeze_parts(self.frozen)
        if whole := [role for role in self.optimizers if not networks.list_learnable(role)]:
            raise ValueError(f"the whole {whole[0]} is frozen, so it could not learn; freeze only a part of it")
        return self

    @property
    def pretrained_roles(self) -> tuple[str, ...]:
        """Roles without an optimiser, whose weights come from a snapshot."""
        return tuple(role for role in self.networks if role not in self.optimizers)

    @property
    def condition_space(self) -> ConditionSpace:
        """The facts that the model is conditioned on."""
        return ConditionSpace(self.conditions, self.numbers)

    @property
    def total_images(self) -> int:
        """The length of the training in images."""
        return round(self.total_kimg * 1000)

    @property
    def space(self) -> ImageSpace:
        """The properties of images for which the networks are built."""
        return ImageSpace(self.shape, self.channels, self.latent, self.condition_space)

    def build(self) -> Networks:
        """Build the networks with weights from torch's global random generator, which the caller has to seed."""
        networks = Networks({role: config.build(self.space) for role, config in self.networks.items()})
        networks.freeze_parts(self.frozen)
        return networks

    def build_meta_networks(self) -> Networks:
        """Build the networks on torch's meta device, where they have shapes but no values and allocate nothing."""
        with torch.device("meta"):
            return self.build()

    def build_generator(self) -> nn.Module:
        """Build the generator alone, with initial weights like `build`."""
        return self.networks["generator"].build(self.space)

    def build_phases(self, stage: str | None = None) -> tuple[Phase, ...]:
        """Build all phases, or those that run in one stage of the strategy's timetable."""
        every = (phase for objective in self.objectives for phase in objective.build_phases(self.latent))
        return tuple(phase for phase in every if stage is None or phase.stage in (None, stage))

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Say why a shape cannot be used, as the end of a sentence; None if it can."""
        theirs = (config.find_shape_problem(shape) for config in self.networks.values())
        return self.strategy.find_shape_problem(shape) or next(filter(None, theirs), None)

    def _compute_latent_width(self, shape: Shape, free: int) -> int:
        """Return the latent width that a network requires; if none does, the given width."""
        asked = (config.compute_latent_width(shape) for config in self.networks.values())
        return next((width for width in asked if width is not None), free)

    @property
    def encoding_objective(self) -> EncodingObjective | None:
        """The objective that turns images into latent codes, if there is one."""
        return next((objective for objective in self.objectives if isinstance(objective, EncodingObjective)), None)

    def plan_step(self, images_seen: int, seed: int) -> TrainingStep:
        """Return the training step after this number of images."""
        return self.strategy.plan_step(images_seen, self.shape, seed)

    def get_sampling_scope(self, images_seen: int) -> Scope:
        """Return the scope of the generator's whole images at this number of images seen."""
        return self.strategy.get_sampling_scope(images_seen, self.shape)

    def get_final_scope(self) -> Scope:
        """Return the scope of the generator's images at the end of the training."""
        return self.strategy.get_final_scope(self.shape)

    def make_timetable(self) -> list[tuple[float, TrainingStep]]:
        """List the first step of each optimiser epoch with the kimg at which it begins, up to the training's end."""
        return [(kimg, moment) for kimg, moment in self.strategy.make_timetable(self.shape) if kimg < self.total_kimg]

    def find_idle_schedules(self) -> list[tuple[str, float]]:
        """Find schedules that would begin to change after the training's end: dotted path, and kimg of the change."""
        found = _list_schedules(self, ())
        ends = ((path, schedule.first_change_kimg) for path, schedule in found)
        return [(path, first) for path, first in ends if self.total_kimg <= first < math.inf]

    def find_split_problem(self, pieces: int) -> str | None:
        """Say why a batch cannot be divided into this number of micro-batches; None if it can."""
        if any(not phase.separable for phase in self.build_phases()):
            return "its loss is not a mean over images"
        sizes = dict.fromkeys(step.batch_size for _, step in self.make_timetable())
        found = (
            config.coupling.find_split_problem(role, size, pieces)
            for size in sizes
            for role, config in self.networks.items()
        )
        return next(filter(None, found), None)

    def resize(self, shape: Shape) -> "Recipe":
        """Return the same recipe for images of another shape, with two or three axes.

        Raises:
            Refused: the networks or the strategy cannot make the size.
        """
        flag = f"--shape {','.join(map(str, shape))}"
        if len(shape) not in (2, 3):
            raise Refused(f"{flag} does not fit {self.name}: give two axes for pictures, three for volumes.")
        if objection := self.find_shape_problem(shape):
            raise Refused(f"{flag} does not fit {self.name}: {objection}.")
        return self.replace(shape=shape, latent=self._compute_latent_width(shape, self.latent))

    def make_tiny(self) -> "Recipe":
        """Make a small version of the recipe that a laptop's CPU trains in seconds."""
        strategy, shape = self.strategy.make_tiny(self.shape)
        return self.replace(
            shape=shape,
            latent=self._compute_latent_width(shape, TINY_LATENT),
            networks={role: config.make_tiny() for role, config in self.networks.items()},
            strategy=strategy,
            ema_half_life_kimg=min(0.064, self.ema_half_life_kimg),
            total_kimg=TINY_STEPS * strategy.plan_step(0, shape, 0).batch_size / 1000,
        )

    def adapt_to_generator(self, generator_recipe: "Recipe") -> "Recipe":
        """Adapt this recipe to a generator trained by another recipe: networks of the same kind get the same widths.

        Raises:
            Refused: this recipe trains its own generator, or the other one makes images of another kind.
        """
        theirs = generator_recipe.networks["generator"]
        mine = self.networks["generator"]
        if "generator" not in self.pretrained_roles:
            raise Refused(f"{self.name} trains its own generator; omit --generator.")
        if not theirs.can_replace(mine):
            raise Refused(f"{self.name} needs a {mine.kind}; {generator_recipe.name} has a {theirs.kind}.")
        networks = {role: config.adapt_to_generator(theirs) for role, config in self.networks.items()}
        return self.replace(
            shape=generator_recipe.shape,
            channels=generator_recipe.channels,
            latent=generator_recipe.latent,
            conditions=generator_recipe.conditions,
            numbers=generator_recipe.numbers,
            networks={**networks, "generator": theirs},
            strategy=self.strategy.adapt_to_image_parts(theirs.image_parts),
        )

    def can_continue(self, other: "Recipe") -> bool:
        """Whether this recipe can continue a run of `other`, which requires that only the length differs."""
        return self.replace(total_kimg=other.total_kimg) == other


def _list_schedules(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, Schedule]]:
    """List every schedule within a value, with its dotted path."""
    if isinstance(value, ConstantSchedule | LinearSchedule | RisingSchedule):
        yield ".".join(path), value
        return
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, Config | dict):
        parts = dict(value).items()
    elif isinstance(value, tuple):
        parts = enumerate(value)
    for name, part in parts:
        yield from _list_schedules(part, (*path, str(name)))
