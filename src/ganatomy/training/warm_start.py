"""Warm start: a training begins from the weights of another model, taken tensor by tensor as a whole or in part."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ganatomy.checkpoint import Snapshot
from ganatomy.errors import Refused
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.condition import ConditionSpace
from ganatomy.steps.space import ImageSpace
from ganatomy.training.state import State

NAMES_TOLD = 8  # largest number of tensors that are named per role; all are counted
PROBE = "a fact of no store"


@dataclass(frozen=True)
class Columns:
    """The columns of a tensor that are taken over.

    Args:
        axis: the axis whose last entries belong to the columns of the condition.
        mine, theirs: positions along the axis in the new and the old tensor, in pairs.
        known, asked: number of columns of the condition that are taken over, and their total number.
    """

    axis: int
    mine: tuple[int, ...]
    theirs: tuple[int, ...]
    known: int
    asked: int


@dataclass(frozen=True)
class RoleStart:
    """The tensors of one network: those taken as a whole, those taken in part, and those with initial weights."""

    whole: tuple[str, ...]
    partial: dict[str, Columns]
    new: tuple[str, ...]

    def describe(self, role: str) -> str:
        """Describe the tensors in one line, with the names of those that are not taken as a whole."""
        count = len(self.whole) + len(self.partial) + len(self.new)
        words = [f"{len(self.whole)} of {count} tensors taken over"]
        partial = [
            f"{name} ({one.known} of {one.asked} condition columns)" if one.asked else name
            for name, one in self.partial.items()
        ]
        for what, names in (("but for conditions", partial), ("new", list(self.new))):
            if names:
                more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
                words.append(f"{len(names)} {what}: {', '.join(names[:NAMES_TOLD])}{more}")
        return f"  {role:20s} {'; '.join(words)}"


@dataclass(frozen=True)
class WarmStart:
    """The weights with which a training begins.

    Args:
        snapshot: the snapshot of the weights, opened with all its networks.
        roles: the tensors that are taken over, for each network that learns.
    """

    snapshot: Snapshot
    roles: dict[str, RoleStart]

    def describe(self) -> str:
        """Describe, in lines for the user, the tensors that are taken over, and by name those that are not."""
        about = self.snapshot
        head = f"from        {about.path} ({about.recipe.name}, {about.images / 1000:g} kimg, {about.digest[:16]})"
        return "\n".join([head, *(one.describe(role) for role, one in self.roles.items())])

    @torch.no_grad()
    def apply_to(self, state: State) -> None:
        """Set the weights of the networks of a new state, and those of the moving average of the generator."""
        for role, start in self.roles.items():
            ours, theirs = state.networks[role].state_dict(), self.snapshot.weights.get(role, {})
            for name in start.whole:
                ours[name].copy_(theirs[name])
            for name, columns in start.partial.items():
                mine, other = (torch.tensor(places) for places in (columns.mine, columns.theirs))
                taken = theirs[name].index_select(columns.axis, other).to(ours[name])
                ours[name].index_copy_(columns.axis, mine.to(taken.device), taken)
        state.ema.load_state_dict(state.networks["generator"].state_dict())


def plan_warm_start(recipe: Recipe, snapshot: Snapshot) -> WarmStart:
    """Determine the tensors of a snapshot with which a recipe can begin: those that agree in name and shape.

    If only the conditions differ, a tensor is taken over in part: all entries that belong to no condition, and the
    columns of facts and values that both models have.

    Args:
        recipe: the recipe that will be trained.
        snapshot: the snapshot, opened with all its networks.

    Raises:
        Refused: no tensor agrees.
    """
    ours, axes = _list_shapes(recipe, recipe.condition_space), _find_condition_axes(recipe)
    spaces = recipe.condition_space, snapshot.recipe.condition_space
    roles = {}
    for role in recipe.optimizers:
        theirs = {name: tuple(tensor.shape) for name, tensor in snapshot.weights.get(role, {}).items()}
        whole, partial, new = [], {}, []
        for name, shape in ours[role].items():
            axis = axes[role].get(name)
            if shape == theirs.get(name) and (axis is None or spaces[0].columns == spaces[1].columns):
                whole.append(name)
            elif axis is not None and (columns := _match_columns(axis, shape, theirs.get(name), *spaces)) is not None:
                partial[name] = columns
            else:
                new.append(name)
        roles[role] = RoleStart(tuple(whole), partial, tuple(new))
    if not any(start.whole or start.partial for start in roles.values()):
        raise Refused(
            f"No tensor of {snapshot.path} ({snapshot.recipe.name}) agrees in name and shape with one of {recipe.name};"
            " begin from a model of the same networks."
        )
    return WarmStart(snapshot, roles)


def _match_columns(
    axis: int, shape: tuple[int, ...], theirs: tuple[int, ...] | None, mine: ConditionSpace, other: ConditionSpace
) -> Columns | None:
    """Match the columns that two tensors of the same name have in common; None if they differ in other respects."""
    if theirs is None or len(theirs) != len(shape):
        return None
    base = shape[axis] - len(mine.columns)
    if base != theirs[axis] - len(other.columns) or any(
        a != b for i, (a, b) in enumerate(zip(shape, theirs, strict=True)) if i != axis
    ):
        return None
    pairs = [(i, i) for i in range(base)]
    known = [
        (base + mine.columns.index(column), base + place)
        for place, column in enumerate(other.columns)
        if column in mine.columns
    ]
    if not pairs + known:
        return None
    places = list(zip(*(pairs + known), strict=True))
    return Columns(axis, places[0], places[1], len(known), len(mine.columns))


def _find_condition_axes(recipe: Recipe) -> dict[str, dict[str, int]]:
    """Find the axis of every tensor that has an entry for each column of the condition, by role and name.

    The axes are found by building the networks with one further column. The entries are the last along their axis,
    because every network puts the condition after the code and the labels after the score.
    """
    space = recipe.condition_space
    wider = ConditionSpace({**space.facts, PROBE: ("",)}, space.numbers)
    before, after = _list_shapes(recipe, space), _list_shapes(recipe, wider)
    return {role: dict(_list_wider_axes(before[role], after[role])) for role in before}


def _list_wider_axes(
    before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]
) -> Iterator[tuple[str, int]]:
    for name, shape in before.items():
        grown = [axis for axis, (a, b) in enumerate(zip(shape, after[name], strict=True)) if b == a + 1]
        if grown:
            yield name, grown[0]


def _list_shapes(recipe: Recipe, conditions: ConditionSpace) -> dict[str, dict[str, tuple[int, ...]]]:
    """List the shapes of all tensors by role and name for a model with other conditions, without allocating them."""
    space = ImageSpace(recipe.shape, recipe.channels, recipe.latent, conditions)
    with torch.device("meta"):
        built = {role: config.build(space) for role, config in recipe.networks.items()}
    return {
        role: {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        for role, network in built.items()
    }
