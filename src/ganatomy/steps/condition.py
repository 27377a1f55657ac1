"""The facts that a model is conditioned on, and the condition c of a batch as every network receives it.

Conditions are facts with a few values each. To add a number or a map, add a field to `ConditionSpace`, which describes
it, and one to `Condition`, which `ConditionSpace.encode` fills. Code that only passes a condition on does not read its
fields, so only networks that use the new field change.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganatomy.errors import Refused

Facts = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Condition:
    """c: the condition of the images of a batch, requested for synthetic images and given for real ones.

    Args:
        categories: (batch, sum of `groups`), one-hot groups side by side, one for each fact.
        groups: the width of each group; empty for a model without conditions.
    """

    categories: Tensor
    groups: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.categories.shape[1:] == (sum(self.groups),), f"{self.categories.shape} for groups {self.groups}"

    @property
    def vector(self) -> Tensor:
        """The input of a dense layer: (batch, `ConditionSpace.width`), of width zero without conditions."""
        return self.categories

    def __len__(self) -> int:
        """The number of images."""
        return len(self.categories)

    def __getitem__(self, rows: slice | Sequence[int]) -> "Condition":
        """The condition of selected images, in the order of `rows`; that of one image is ``condition[i : i + 1]``."""
        return Condition(self.categories[rows], self.groups)

    def to(self, device: torch.device | str) -> "Condition":
        """Move the condition to a device."""
        return Condition(self.categories.to(device), self.groups)


@dataclass(frozen=True)
class ConditionSpace:
    """All facts that a model is conditioned on, with their values.

    Args:
        facts: the name of each fact with the values that it may have, in the order of the vector; empty for a model
            without conditions.
    """

    facts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all facts that the model is conditioned on."""
        return tuple(self.facts)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """What each column of `Condition.vector` stands for: a fact and one of its values."""
        return tuple((name, value) for name, values in self.facts.items() for value in values)

    @property
    def groups(self) -> tuple[int, ...]:
        """The number of values of each fact: the widths of the one-hot groups."""
        return tuple(len(values) for values in self.facts.values())

    @property
    def width(self) -> int:
        """The width of `Condition.vector`, zero without conditions."""
        return sum(self.groups)

    @property
    def label_width(self) -> int:
        """The number of label logits of a discriminator: one for each value of each fact."""
        return sum(self.groups)

    def encode(self, images: Sequence[Facts]) -> Condition:
        """Encode the facts of images as a condition; facts that the model does not know are ignored.

        Args:
            images: the facts of each image.

        Raises:
            Refused: an image lacks a fact of the model, or has a value that the model does not know.
        """
        hot = [
            torch.eye(len(values), dtype=torch.float32)[[self._find_place(name, facts) for facts in images]]
            for name, values in self.facts.items()
        ]
        return Condition(torch.cat([torch.zeros(len(images), 0), *hot], 1), self.groups)

    def make_blank(self, images: int) -> Condition:
        """Make a condition of all zeros for this number of images, the only one of a model without conditions."""
        return Condition(torch.zeros(images, self.label_width), self.groups)

    def choose_facts(self, requested: Facts, number: int) -> dict[str, str]:
        """Choose the facts of sample `number`: requested values, and alternating values of all other facts.

        The first of the other facts alternates fastest.

        Raises:
            Refused: the model does not know a fact or value.
        """
        for name, value in requested.items():
            if name not in self.facts:
                known = ", ".join(self.facts) or "none: it is unconditional"
                raise Refused(f"The model is not conditioned on {name!r}; its conditions are {known}.")
            self._check_value(name, value)
        facts = {}
        for name, values in self.facts.items():
            if name in requested:
                facts[name] = requested[name]
            else:
                facts[name] = values[number % len(values)]
                number //= len(values)
        return facts

    def spread_facts(self, images: int) -> list[dict[str, str]]:
        """Spread the values of every fact over this number of images in equal consecutive groups."""
        return [{name: values[i * len(values) // images] for name, values in self.facts.items()} for i in range(images)]

    def add_free_facts(self, free: Mapping[str, Sequence[str]]) -> "ConditionSpace":
        """Add facts that may be chosen although the model is not conditioned on them."""
        return ConditionSpace({**self.facts, **{name: free[name] for name in free if name not in self.facts}})

    def check_store_knows(self, store_facts: Mapping[str, Collection[str]]) -> None:
        """Check that a store has every condition of the model, and no value that the model does not know.

        Args:
            store_facts: the values that occur in the store, by fact.

        Raises:
            Refused: the store lacks a fact of the model, or has a value that the model does not know.
        """
        for name, values in self.facts.items():
            if name not in store_facts:
                raise Refused(
                    f"The recipe is conditioned on {name!r}, but the facts of the store are {', '.join(store_facts)}."
                )
            if unknown := sorted(set(store_facts[name]) - set(values)):
                raise Refused(f"The store has {name} {', '.join(unknown)}, but the recipe accepts {', '.join(values)}.")

    def check_store_shows(self, store_facts: Mapping[str, Collection[str]]) -> None:
        """Check that a store has training images with every value of every condition, so that a model can learn them.

        Args:
            store_facts: the values that occur among the training cases, by fact.

        Raises:
            Refused: a value does not occur among the training images.
        """
        for name, values in self.facts.items():
            if absent := sorted(set(values) - set(store_facts.get(name, ()))):
                raise Refused(
                    f"The recipe is conditioned on {name} {', '.join(values)}, but the store has no training case of"
                    f" {', '.join(absent)}; add such cases or change the recipe: --set 'conditions.{name}=[...]'."
                )

    def _find_place(self, name: str, facts: Facts) -> int:
        """Find the position of an image's value among the values of a fact."""
        if name not in facts:
            raise Refused(
                f"The model is conditioned on {name!r}, but an image has {', '.join(facts) or 'no facts'}; state for"
                f" every image whether its {name} is {', '.join(self.facts[name])}."
            )
        self._check_value(name, facts[name])
        return list(self.facts[name]).index(facts[name])

    def _check_value(self, name: str, value: str) -> None:
        if value not in self.facts[name]:
            raise Refused(f"{name} cannot be {value!r}; the model accepts {', '.join(self.facts[name])}.")


UNCONDITIONAL = ConditionSpace()
