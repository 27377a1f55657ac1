"""Training strategies: pure functions from images seen to what the next step looks at."""

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
    """What one step does: its scope, its global batch size, the era and the part of the timetable it belongs to.

    Optimisers start anew when the era changes, so that Adam's moments of one level do not steer the next. Steps of one
    part cost the same, and a phase of an objective may run in one part alone.
    """

    scope: Scope
    batch_size: int
    optimizer_epoch: int = 0
    stage: str = "all"


class ProgressiveGrowing(Config):
    """Start at the base, add a level at a time: fade it in, then train it stably (Karras 2018, section 2).

    The base is trained stably first; then each level fades in over `fade_kimg` and is stable for `stable_kimg`. The
    last level stays. `batch_sizes` goes by level from the base up; the last one serves all later levels. Levels below
    `first_level` are skipped: training starts there.
    """

    kind: Literal["progressive-growing"] = "progressive-growing"
    fade_kimg: float = Field(600, gt=0)
    stable_kimg: float = Field(600, gt=0)
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((16,), min_length=1)
    first_level: int = Field(0, ge=0)

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """The step at a count of images seen; `seed` is for strategies that draw, growth does not."""
        sizes = compute_pyramid(shape)
        first, last = min(self.first_level, len(sizes) - 1), len(sizes) - 1
        since = images_seen / 1000 - self.stable_kimg  # since the first fade began
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
        """What the generator can make of the whole image at that count: the level that it is training."""
        return self.plan_step(images_seen, shape, 0).scope

    def get_final_scope(self, shape: Shape) -> Scope:
        """What sampling uses in the end: the last level, alone."""
        return LevelScope(len(compute_pyramid(shape)) - 1, 1.0, shape)

    def get_discriminator_scopes(self, images_seen: int, shape: Shape) -> tuple[Scope, ...]:
        """Scopes through which a discriminator sees all of an image."""
        return (self.get_sampling_scope(images_seen, shape),)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """What is wrong with a shape, as the end of a sentence; None if nothing is."""
        if len(compute_pyramid(shape)) > 1:
            return None
        return "every axis must be even and stay at 4 or more when halved, for example 160,128"

    def change_stage_length(self, kimg: float) -> "ProgressiveGrowing":
        """The same with so many thousand images in every part of its timetable."""
        return self.replace(fade_kimg=kimg, stable_kimg=kimg)

    def express_batch_size(self, batch_size: int) -> dict[str, Any]:
        """The settings, by name, with which every step sees so many images: one size for all levels."""
        return {"batch_sizes": [batch_size]}

    def adapt_to_image_parts(self, parts: int) -> "ProgressiveGrowing":
        """The same: a step sees one image whatever a generator could return."""
        return self

    def make_tiny(self, shape: Shape) -> tuple["ProgressiveGrowing", Shape]:
        """A short timetable and a small shape, to try it in seconds."""
        sizes = compute_pyramid(shape)
        short = self.replace(fade_kimg=0.064, stable_kimg=0.064, batch_sizes=(8,))
        return short, sizes[min(2, len(sizes) - 1)]

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """Each era with the kimg at which it begins."""
        kimg, era = 0.0, -1
        while (moment := self.plan_step(round(kimg * 1000), shape, 0)).optimizer_epoch != era:
            yield kimg, moment
            era = moment.optimizer_epoch
            kimg += self.fade_kimg if era % 2 else self.stable_kimg


class HierarchicalAmortisation(Config):
    """Each step sees one sub-volume at full resolution and the whole volume at a quarter of it (Sun 2022).

    The sub-volume is one for all images of a step. With `selector` ``cycle`` the sub-volumes of a partition follow one
    another instead of being drawn (the paper's ablation "deterministic r"; what it cycles through is our reading).
    `aligned` draws starts that are multiples of 4, so that the sub-volume cut from the features is the one cut from the
    reals; the authors' code draws any plane, and three of four draws are off by one to three planes. `low` and `whole`
    are those of `SubVolume`.
    """

    kind: Literal["hierarchical-amortisation"] = "hierarchical-amortisation"
    selector: Literal["random", "cycle"] = "random"
    aligned: bool = True
    low: Literal["mean", "nearest"] | None = "mean"
    whole: bool = False
    batch_size: int = Field(4, ge=1)

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """The step at a count of images seen; the start is a function of it and the seed."""
        depth = hierarchy.compute_sub_volume_depth(shape[0])
        if self.selector == "cycle":
            start = depth * (images_seen // self.batch_size % (shape[0] // depth))
        else:
            step = hierarchy.LOW_FACTOR if self.aligned else 1
            start = step * (derive_key(seed, "sub-volume", images_seen) % ((shape[0] - depth) // step + 1))
        return TrainingStep(SubVolumeScope(shape, start, depth, self.low, self.whole), self.batch_size)

    def get_sampling_scope(self, images_seen: int, shape: Shape) -> Scope:
        """The whole volume, at any time."""
        return self.get_final_scope(shape)

    def get_final_scope(self, shape: Shape) -> Scope:
        return WholeScope(shape)

    def get_discriminator_scopes(self, images_seen: int, shape: Shape) -> tuple[Scope, ...]:
        """The sub-volumes of a partition, one after another."""
        depth = hierarchy.compute_sub_volume_depth(shape[0])
        return tuple(SubVolumeScope(shape, start, depth, self.low, self.whole) for start in range(0, shape[0], depth))

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """One era from the beginning to the end."""
        yield 0.0, self.plan_step(0, shape, 0)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """What is wrong with a shape, as the end of a sentence; None if nothing is."""
        if hierarchy.fits_hierarchy(shape):
            return None
        return f"every axis must be a multiple of {hierarchy.AXIS_MULTIPLE}, for example 64,64,64"

    def change_stage_length(self, kimg: float) -> "HierarchicalAmortisation":
        """The same: there is one part."""
        return self

    def express_batch_size(self, batch_size: int) -> dict[str, Any]:
        """The settings, by name, with which every step sees so many images."""
        return {"batch_size": batch_size}

    def adapt_to_image_parts(self, parts: int) -> "HierarchicalAmortisation":
        """The same for a generator that returns so many images of a step: one = there is no low-resolution volume."""
        return self if parts > 1 else self.replace(low=None)

    def make_tiny(self, shape: Shape) -> tuple["HierarchicalAmortisation", Shape]:
        return self, (2 * hierarchy.AXIS_MULTIPLE,) * len(shape)


class _WholeImageStrategy(Config):
    """Every step sees whole images at full resolution."""

    batch_size: int = Field(4, ge=1)

    def get_sampling_scope(self, images_seen: int, shape: Shape) -> Scope:
        """The whole image, at any time."""
        return WholeScope(shape)

    def get_final_scope(self, shape: Shape) -> Scope:
        return WholeScope(shape)

    def get_discriminator_scopes(self, images_seen: int, shape: Shape) -> tuple[Scope, ...]:
        """The whole image."""
        return (WholeScope(shape),)

    def express_batch_size(self, batch_size: int) -> dict[str, Any]:
        """The settings, by name, with which every step sees so many images."""
        return {"batch_size": batch_size}

    def adapt_to_image_parts(self, parts: int) -> Self:
        """The same: a step sees one image whatever a generator could return."""
        return self


class WholeImages(_WholeImageStrategy):
    """Every step sees whole images at full resolution, and all networks learn in every step."""

    kind: Literal["whole-images"] = "whole-images"

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """The same at any count."""
        return TrainingStep(WholeScope(shape), self.batch_size)

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """One era from the beginning to the end."""
        yield 0.0, self.plan_step(0, shape, 0)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """What is wrong with a shape, as the end of a sentence; None if nothing is."""
        if len(compute_pyramid(shape)) > 1:
            return None
        return "every axis must be even and stay at 4 or more when halved, for example 64,64,64"

    def change_stage_length(self, kimg: float) -> "WholeImages":
        """The same: there is one part."""
        return self

    def make_tiny(self, shape: Shape) -> tuple["WholeImages", Shape]:
        """A shape of two halvings, to try it in seconds."""
        return self, compute_pyramid(shape)[2] if len(compute_pyramid(shape)) > 2 else shape


class TwoStages(_WholeImageStrategy):
    """Whole images; an autoencoder learns first, then a model of its codes (``prior``) (Rombach 2022).

    The phases of an objective say by name in which of the two parts they run. What is shown before the second part are
    codes of a model that has not learnt.
    """

    kind: Literal["two-stages"] = "two-stages"
    autoencoder_kimg: float = Field(gt=0)

    def plan_step(self, images_seen: int, shape: Shape, seed: int) -> TrainingStep:
        """The step at a count of images seen."""
        second = images_seen >= self.autoencoder_kimg * 1000
        return TrainingStep(WholeScope(shape), self.batch_size, int(second), "prior" if second else "autoencoder")

    def make_timetable(self, shape: Shape) -> Iterator[tuple[float, TrainingStep]]:
        """Both parts with the kimg at which they begin."""
        for kimg in (0.0, self.autoencoder_kimg):
            yield kimg, self.plan_step(math.ceil(kimg * 1000), shape, 0)

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Every shape that the networks can make will do."""
        return None

    def change_stage_length(self, kimg: float) -> "TwoStages":
        """The same with so many thousand images in every part of its timetable."""
        return self.replace(autoencoder_kimg=kimg)

    def make_tiny(self, shape: Shape) -> tuple["TwoStages", Shape]:
        """A short timetable and a small shape, to try it in seconds."""
        return self.change_stage_length(0.12), (32,) * len(shape)


Strategy = Annotated[
    ProgressiveGrowing | HierarchicalAmortisation | WholeImages | TwoStages, Field(discriminator="kind")
]
