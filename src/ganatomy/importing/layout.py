"""A layout: the names of a model's tensors in files of another program, and their places in one of our recipes."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganatomy.errors import Refused
from ganatomy.pyramid import Shape, format_shape
from ganatomy.recipes.recipe import Recipe

NAMES_TOLD = 6  # largest number of names of each kind in a message

Weights = dict[str, dict[str, Tensor]]  # by role and name


@dataclass(frozen=True)
class Slot:
    """A tensor of a file and its place in one of our networks.

    Args:
        theirs: its name in the file.
        ours: its name in our network.
        shape: its shape in the file if it differs from ours; the numbers are in the same order.
        scale: factor by which the numbers of the file are multiplied.
    """

    theirs: str
    ours: str
    shape: Shape | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Part:
    """The tensors of one network as another program names them.

    Args:
        slots: all tensors that the network needs.
        dropped: names in the file that are ignored, such as logged values that are computed from the other tensors.
    """

    slots: tuple[Slot, ...]
    dropped: frozenset[str] = field(default_factory=frozenset)

    @property
    def names(self) -> set[str]:
        return {slot.theirs for slot in self.slots}


@dataclass(frozen=True)
class Found:
    """Tensors by name, and the name of their file."""

    file: str
    tensors: Mapping[str, Tensor]


class Layout(ABC):
    """Base class of the layouts; `table.LAYOUTS` lists them by recipe."""

    containers: Mapping[str, type] = {}  # see `weights_file.read_weights_file`
    value_ranges: Mapping[str, tuple[float, float]] = {}  # by modality: the values of -1 and 1 in the other program

    @abstractmethod
    def list_networks(self, content: Any) -> list[dict[str, Tensor]]:
        """List the networks in the content of one file; the list is empty if the file does not have this layout."""

    @abstractmethod
    def list_parts(self, recipe: Recipe) -> dict[str, Part]:
        """List the parts of a model of this recipe, by role."""

    @abstractmethod
    def fit_recipe(self, recipe: Recipe, generator: Found) -> Recipe:
        """Return the recipe with the widths of a generator's tensors.

        Raises:
            Refused: the tensors do not fit the recipe with any widths.
        """


def assign_roles(found: Sequence[Found], parts: Mapping[str, Part], recipe: str) -> dict[str, Found]:
    """Assign each network to the role with which it shares most names.

    Raises:
        Refused: a network shares no name with any role, or two networks have the same role.
    """
    assigned: dict[str, Found] = {}
    for one in found:
        shared = Counter({role: len(part.names & set(one.tensors)) for role, part in parts.items()})
        role, count = shared.most_common(1)[0]
        if not count:
            some = ", ".join(list(one.tensors)[:NAMES_TOLD]) or "none"
            raise Refused(f"{one.file} contains no network of {recipe}: its tensors are {some}.")
        if role in assigned:
            raise Refused(f"{one.file} and {assigned[role].file} are both the {role} of {recipe}; give one of them.")
        assigned[role] = one
    return assigned


def convert_tensors(role: str, found: Found, part: Part, recipe: Recipe) -> dict[str, Tensor]:
    """Convert the tensors of a file to the weights of one of our networks.

    Raises:
        Refused: tensors are missing, left over, of another shape or not finite; the message names them.
    """
    with torch.device("meta"):
        wanted = {name: tuple(t.shape) for name, t in recipe.networks[role].build(recipe.space).state_dict().items()}
    assert {slot.ours for slot in part.slots} == set(wanted), f"the layout leaves tensors of the {role} out"
    expected = {slot.theirs: slot.shape or wanted[slot.ours] for slot in part.slots}
    if problems := _list_problems(found.tensors, expected, part.dropped):
        raise Refused(
            f"{found.file} is not a {role} of {recipe.name} at {format_shape(recipe.shape)} with"
            f" {recipe.condition_space.width} classes: {'; '.join(problems)}."
        )
    return {
        slot.ours: (found.tensors[slot.theirs] * slot.scale).reshape(wanted[slot.ours]).contiguous()
        for slot in part.slots
    }


def _list_problems(given: Mapping[str, Tensor], expected: Mapping[str, Shape], dropped: frozenset[str]) -> list[str]:
    """List what is wrong with the tensors of a file, each fault as a part of a sentence."""
    shapes = {name: tuple(given[name].shape) for name in expected if name in given}
    kinds = {
        "it lacks": [name for name in expected if name not in given],
        "it has the unknown tensors": [name for name in given if name not in expected and name not in dropped],
        "the shape is wrong of": [
            f"{name} ({format_shape(shape)}, not {format_shape(expected[name])})"
            for name, shape in shapes.items()
            if shape != expected[name]
        ],
        "not all numbers are finite in": [name for name in shapes if not torch.isfinite(given[name]).all()],
    }
    return [f"{words} {_join_names(names)}" for words, names in kinds.items() if names]


def _join_names(names: list[str]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")
