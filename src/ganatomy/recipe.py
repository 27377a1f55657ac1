"""Recipe: a model and its training as one plain value."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from torch import nn

from ganatomy.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from ganatomy.objectives.adversarial import Objective
from ganatomy.objectives.phase import Phase, Players
from ganatomy.pyramid import Shape, pyramid
from ganatomy.refused import Refused
from ganatomy.schedules import Constant, Schedule
from ganatomy.scope import Scope
from ganatomy.space import Space
from ganatomy.strategies import Moment, Strategy
from ganatomy.value import Value

NetworkConfig = Annotated[ProgressiveGenerator | ProgressiveDiscriminator, Field(discriminator="kind")]


class Adam(Value):
    """Adam (Kingma 2015); `lr` is a number or a schedule over images seen."""

    lr: Schedule = Constant(value=1e-3)
    betas: tuple[float, float] = (0.0, 0.99)
    eps: float = Field(1e-8, gt=0)


class Recipe(Value):
    """Everything that defines a model and its training; nothing that depends on the machine.

    Args:
        shape: voxels per axis of the final image; the levels and the base follow from it (`pyramid`).
        channels: values per voxel.
        latent: width of the latent code z.
        conditions: the facts that images are conditioned on, with their accepted values, in the order of the
            condition vector.
        networks: a configuration for each role.
        ema_half_life_kimg: half-life of the generator's moving average, in thousands of images.
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
    ema_half_life_kimg: float = Field(10, gt=0)
    total_kimg: float = Field(15_000, gt=0)

    @model_validator(mode="after")
    def _every_network_learns(self) -> "Recipe":
        if set(self.networks) != set(self.optimizers):
            raise ValueError(f"networks {sorted(self.networks)} and optimizers {sorted(self.optimizers)} must match")
        return self

    @property
    def groups(self) -> tuple[int, ...]:
        """Widths of the one-hot groups of the condition vector."""
        return tuple(len(values) for values in self.conditions.values())

    @property
    def total_images(self) -> int:
        return round(self.total_kimg * 1000)

    @property
    def space(self) -> Space:
        return Space(self.shape, self.channels, self.latent, sum(self.groups))

    def build(self) -> Players:
        """The networks with fresh weights from torch's global generator; seed it first."""
        return Players({role: config.build(self.space) for role, config in self.networks.items()})

    def build_generator(self) -> nn.Module:
        return self.networks["generator"].build(self.space)

    def phases(self) -> tuple[Phase, ...]:
        return tuple(phase for objective in self.objectives for phase in objective.phases(self.latent))

    def at(self, images_seen: int, seed: int) -> Moment:
        return self.strategy.at(images_seen, self.shape, seed)

    def final(self) -> Scope:
        return self.strategy.final(self.shape)

    def timetable(self) -> list[tuple[float, Moment]]:
        return [(kimg, moment) for kimg, moment in self.strategy.timetable(self.shape) if kimg < self.total_kimg]

    def resized(self, shape: Shape) -> "Recipe":
        """The same recipe for images of another size.

        Raises:
            Refused: the size has another number of axes, or has no smaller level to grow from.
        """
        if len(shape) != len(self.shape) or len(pyramid(shape)) < 2:
            raise Refused(
                f"--shape {','.join(map(str, shape))} does not fit {self.name}: give {len(self.shape)} numbers that can"
                f" be halved at least once and stay at 4 or more, for example {','.join(map(str, self._half()))}."
            )
        return self.model_copy(update={"shape": shape})

    def _half(self) -> Shape:
        return pyramid(self.shape)[-2]

    def tiny(self) -> "Recipe":
        """The same recipe, small enough to train on a laptop's processor in seconds."""
        sizes = pyramid(self.shape)
        small = {"width": 64, "widest": 16}
        return self.model_copy(
            update={
                "shape": sizes[min(2, len(sizes) - 1)],
                "latent": 16,
                "networks": {role: config.model_copy(update=small) for role, config in self.networks.items()},
                "strategy": self.strategy.model_copy(
                    update={"fade_kimg": 0.064, "stable_kimg": 0.064, "batch_sizes": (8,)}
                ),
                "ema_half_life_kimg": 0.064,
                "total_kimg": 0.48,
            }
        )

    def continues(self, other: "Recipe") -> bool:
        """Whether a run of `other` may be taken further by this recipe: all is equal but the end."""
        return self.model_copy(update={"total_kimg": other.total_kimg}) == other


# ----------------------------------------------------------------------------------------------------------------------
# Changing a recipe from outside: dotted paths and YAML, always merged onto the complete base so that no default is
# lost, then checked.


def changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """A recipe with some values replaced by dotted path, such as ``{"strategy.fade_kimg": 300}``.

    Raises:
        Refused: no such path, or a value that is not accepted there.
    """
    plain = recipe.model_dump(mode="json")
    for path, value in changes.items():
        _put(plain, path, value)
    return _checked(plain, ", ".join(changes))


def from_file(path: Path, named: dict[str, Recipe]) -> Recipe:
    """A recipe from a YAML file that names a base recipe and what differs.

    The file holds ``base: NAME`` and any of a recipe's fields, nested as in ``recipe.json``.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refused(f"The recipe file {path} cannot be read: {str(error).splitlines()[0]}.") from error
    base = content.pop("base", None) if isinstance(content, dict) else None
    if base not in named:
        raise Refused(f"{path} must say 'base: NAME' with one of {', '.join(named)}; it says {base!r}.")
    plain = named[base].model_dump(mode="json")
    _merge(plain, content, str(path))
    return _checked(plain, str(path))


def _put(plain: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for depth, part in enumerate(parents):
        plain = plain[_step(plain, part, ".".join(parents[:depth]))]
    plain[_step(plain, last, ".".join(parents))] = value


def _step(plain: Any, part: str, where: str) -> Any:
    if isinstance(plain, list):
        if part.isdigit() and int(part) < len(plain):
            return int(part)
        raise Refused(f"{where}.{part} is not in the recipe: {where} has entries 0 to {len(plain) - 1}.")
    names = list(plain) if isinstance(plain, dict) else []
    if part in names:
        return part
    near = difflib.get_close_matches(part, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'no parts below it'}."
    raise Refused(f"{'.'.join(filter(None, (where, part)))} is not in the recipe; {hint}")


def _merge(plain: Any, content: Any, where: str) -> None:
    for name, value in content.items():
        step = _step(plain, str(name), where)
        if isinstance(plain[step], dict) and isinstance(value, dict) and "kind" not in value:
            _merge(plain[step], value, f"{where}: {name}")
        else:
            plain[step] = value


def _checked(plain: dict[str, Any], what: str) -> Recipe:
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise Refused(
            f"The recipe does not accept {what}: {place}: {first['msg']} (got {first['input']!r})."
        ) from error
