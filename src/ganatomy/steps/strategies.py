"""Training strategies: pure functions from the number of images seen to the next training step."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from ganatomy.config import Config
from ganatomy.pyramid import Shape, compute_pyramid
from ganatomy.randomness import derive_key
from ganatomy.steps import hierarchy
from ganatomy.steps.scope import LevelScope, Scope, SubVolumeScope, WholeScope


@dataclass(frozen=True)
class TrainingStep:
    """The scope and batch size of one training step.

    Args:
        scope: the part of the image that the step computes.
        batch_size: number of images of the step over all processes.
        optimizer_epoch: optimisers are reset when it changes, so that Adam's moments of one level do not act on the
            next.
        stage: name of the stage of the timetable. Steps of a stage have the same cost, and a phase may be limited to a
            stage.
    """

    scope: Scope
    batch_size: int
    optimizer_epoch: int = 0
    stage: str = "all"


class ProgressiveGrowing(Config):
    """Train the base, then add one level at a time; α rises from 0 to 1 in a fade   (Karras 2018, section 2).

    The last level is trained until the end. Training starts at `first_level` and skips the levels below it.

    Args:
        fade_kimg: length of a fade, in thousands of images.
        stable_kimg: length of the training of the base, and of each level after its fade.
        batch_sizes: images per step by level, beginning with the base; the last number applies to all later levels.
        first_level: the level where training starts.
    """

    kind: Literal["progressive-growing"] = "progressive-growing"
    fade_kimg: float = Field(600, gt=0)
    stable_kimg: float = Field(600, gt=0)
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((16,), min_length=1)
    first_level: int = Field(0, ge=0)

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """Return the step after this number of images; `seed` is not used, since growing needs no random numbers."""
        sizes = compute_pyramid(shape)
        first, last = min(self.first_level, len(sizes) - 1), len(sizes) - 1
        since = images_seen / 1000 - self.stable_kimg  # thousands of images since the first fade began
        rank = int(since // (self.fade_kimg + self.stable_kimg)) + 1 if since >= 0 else 0
        if first + rank > last:
            rank, alpha = last - first, 1.0
        else:
            alpha = 1.0 if rank == 0 else min(since % (self.fade_kimg + self.stable_kimg) / self.fade_kimg, 1.0)
        level = first + rank
        batch_size = self.batch_sizes[min(level, len(self.batch_sizes) - 1)]
        return TrainingStep(
            LevelScope(level, alpha, sizes[level]), batch_size, 2 * rank - (alpha < 1), f"level {level}"
        )

    def get_sampling_scope(self, images_seen: int, shape: Shape) -> Scope:
        """Return the level that the generator trains after this number of images."""
        return self.plan_step(images_seen, shape, 0).scope

    def get_final_scope(self, shape: Shape) -> Scope:
        """Return the last level without a fade, which sampling uses at the end of the training."""
        return LevelScope(len(compute_pyramid(shape)) - 1, 1.0, shape)

    def get_discriminator_scopes(self, images_seen: int, shape: Shape) -> tuple[Scope, ...]:
        """Scopes that together show a discriminator the whole image."""
        return (self.get_sampling_scope(images_seen, shape),)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Say why a shape cannot be used, as the end of a sentence; None if it can."""
        if len(compute_pyramid(shape)) > 1:
            return None
        return "every axis must be even and stay at 4 or more when halved, for example 160,128"

    def change_stage_length(self, kimg: float) -> "ProgressiveGrowing":
        """Make the same strategy with this number of thousand images in every stage."""
        return self.replace(fade_kimg=kimg, stable_kimg=kimg)

    def express_batch_size(self, batch_size: int) -> dict[str, Any]:
        """Return the settings, by name, for this number of images per step at all levels."""
        return {"batch_sizes": [batch_size]}

    def adapt_to_image_parts(self, parts: int) -> "ProgressiveGrowing":
        """Return the strategy unchanged, since a step uses a single image of each sample."""
        return self

    def make_tiny(self, shape: Shape) -> tuple["ProgressiveGrowing", Shape]:
        """Make a small version with a short timetable and a small shape, which trains in seconds."""
        sizes = compute_pyramid(shape)
        short = self.replace(fade_kimg=0.064, stable_kimg=0.064, batch_sizes=(8,), first_level=0)
        return short, sizes[min(2, len(sizes) - 1)]

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """List each optimiser epoch with the kimg at which it begins."""
        end, era = 0.0, -1
        while True:
            # If a length is not a whole number of images, rounding may move the boundary to the next image.
            first = math.ceil(round(1000 * end, 6))
            moments = ((images, self.plan_step(images, shape, 0)) for images in (first, first + 1))
            begun = next(((images, step) for images, step in moments if step.optimizer_epoch != era), None)
            if begun is None:
                return
            yield begun[0] / 1000, begun[1]
            era = begun[1].optimizer_epoch
            end += self.fade_kimg if era % 2 else self.stable_kimg


class HierarchicalAmortisation(Config):
    """Each step uses x_r = x[r : r + n/8] with a new r, and x_low, the whole at a quarter of its size   (Sun 2022).

    All images of a step have the same r, which is drawn uniformly.

    Args:
        selector: ``random``, or ``cycle`` = the sub-volumes of a partition one after another (the paper's ablation
            "deterministic r"; the partition is our interpretation).
        aligned: whether r is drawn among multiples of 4, so that the features and the real volume have the same
            sub-volume. The official code draws any plane, so in three of four draws both differ by one to three planes.
        low, whole: as in `SubVolumeScope`.
        batch_size: images per step.
    """

    kind: Literal["hierarchical-amortisation"] = "hierarchical-amortisation"
    selector: Literal["random", "cycle"] = "random"
    aligned: bool = True
    low: Literal["mean", "nearest"] | None = "mean"
    whole: bool = False
    batch_size: int = Field(4, ge=1)

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """Return the step after this number of images; r is a function of this number and the seed."""
        depth = hierarchy.compute_sub_volume_depth(shape[0])
        if self.selector == "cycle":
            start = depth * (images_seen // self.batch_size % (shape[0] // depth))
        else:
            step = hierarchy.LOW_FACTOR if self.aligned else 1
            start = step * (derive_key(seed, "sub-volume", images_seen) % ((shape[0] - depth) // step + 1))
        return TrainingStep(SubVolumeScope(shape, start, depth, self.low, self.whole), self.batch_size)

    def get_sampling_scope(self, images_seen: int, shape: Shape) -> Scope:
        """Return the whole volume, after any number of images."""
        return self.get_final_scope(shape)

    def get_final_scope(self, shape: Shape) -> Scope:
        return WholeScope(shape)

    def get_discriminator_scopes(self, images_seen: int, shape: Shape) -> tuple[Scope, ...]:
        """Return the sub-volumes of a partition, from the first planes to the last ones."""
        depth = hierarchy.compute_sub_volume_depth(shape[0])
        return tuple(SubVolumeScope(shape, start, depth, self.low, self.whole) for start in range(0, shape[0], depth))

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """List the only optimiser epoch, which begins at zero."""
        yield 0.0, self.plan_step(0, shape, 0)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Say why a shape cannot be used, as the end of a sentence; None if it can."""
        return hierarchy.find_shape_problem(shape)

    def change_stage_length(self, kimg: float) -> "HierarchicalAmortisation":
        """Return the strategy unchanged, since it has a single stage."""
        return self

    def express_batch_size(self, batch_size: int) -> dict[str, Any]:
        """Return the settings, by name, for this number of images per step."""
        return {"batch_size": batch_size}

    def adapt_to_image_parts(self, parts: int) -> "HierarchicalAmortisation":
        """Adapt to a generator that returns `parts` images; with one there is no low-resolution volume."""
        return self if parts > 1 else self.replace(low=None)

    def make_tiny(self, shape: Shape) -> tuple["HierarchicalAmortisation", Shape]:
        """Make a small version: the shape is halved down to the last with at least 32 voxels an axis."""
        return self, hierarchy.compute_tiny_shape(shape)


class _WholeImageStrategy(Config):
    """Every step uses whole images at full resolution."""

    batch_size: int = Field(4, ge=1)

    def get_sampling_scope(self, images_seen: int, shape: Shape) -> Scope:
        """Return the whole image, after any number of images."""
        return WholeScope(shape)

    def get_final_scope(self, shape: Shape) -> Scope:
        return WholeScope(shape)

    def get_discriminator_scopes(self, images_seen: int, shape: Shape) -> tuple[Scope, ...]:
        """Return the whole image."""
        return (WholeScope(shape),)

    def express_batch_size(self, batch_size: int) -> dict[str, Any]:
        """Return the settings, by name, for this number of images per step."""
        return {"batch_size": batch_size}

    def adapt_to_image_parts(self, parts: int) -> Self:
        """Return the strategy unchanged, since a step uses a single image of each sample."""
        return self


class WholeImages(_WholeImageStrategy):
    """Every step uses whole images at full resolution, and all networks learn in every step."""

    kind: Literal["whole-images"] = "whole-images"

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """Return the step, which is always the same."""
        return TrainingStep(WholeScope(shape), self.batch_size)

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """List the only optimiser epoch, which begins at zero."""
        yield 0.0, self.plan_step(0, shape, 0)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Say why a shape cannot be used, as the end of a sentence; None if it can."""
        if len(compute_pyramid(shape)) > 1:
            return None
        return "every axis must be even and stay at 4 or more when halved, for example 64,64,64"

    def change_stage_length(self, kimg: float) -> "WholeImages":
        """Return the strategy unchanged, since it has a single stage."""
        return self

    def make_tiny(self, shape: Shape) -> tuple["WholeImages", Shape]:
        """Make a small version with a shape of two halvings, which trains in seconds."""
        return self, compute_pyramid(shape)[2] if len(compute_pyramid(shape)) > 2 else shape


class TwoStages(_WholeImageStrategy):
    """Train an autoencoder on whole images, then a prior of its codes   (Rombach 2022, section 3).

    The phases of an objective name the stage in which they run: ``autoencoder`` or ``prior``. Samples drawn in the
    first stage come from an untrained prior.

    Args:
        autoencoder_kimg: length of the first stage, in thousands of images.
        batch_size: images per step.
    """

    kind: Literal["two-stages"] = "two-stages"
    autoencoder_kimg: float = Field(gt=0)

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """Return the step after this number of images."""
        second = images_seen >= self.autoencoder_kimg * 1000
        return TrainingStep(WholeScope(shape), self.batch_size, int(second), "prior" if second else "autoencoder")

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """List the first step of each stage with the kimg at which the stage begins."""
        for kimg in (0.0, self.autoencoder_kimg):
            yield kimg, self.plan_step(math.ceil(kimg * 1000), shape, 0)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Return None, since the strategy accepts every shape that the networks support."""
        return None

    def change_stage_length(self, kimg: float) -> "TwoStages":
        """Make the same strategy with this number of thousand images in the first stage."""
        return self.replace(autoencoder_kimg=kimg)

    def make_tiny(self, shape: Shape) -> tuple["TwoStages", Shape]:
        """Make a small version with a short timetable and a small shape, which trains in seconds."""
        return self.change_stage_length(0.12), (32,) * len(shape)


Strategy = Annotated[
    ProgressiveGrowing | HierarchicalAmortisation | WholeImages | TwoStages, Field(discriminator="kind")
]
