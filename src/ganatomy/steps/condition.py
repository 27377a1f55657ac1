"""The facts that a model is conditioned on, and the condition c of a batch as every network receives it.

Conditions are facts with a few values each, and numbers. To add another kind of condition, such as a map, add a field
to `ConditionSpace`, which describes it, and a field to `Condition`, which `ConditionSpace.encode` fills. Code that only
passes a condition to a network does not depend on its fields, so only networks that use the new field change.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import torch
from torch import Tensor

from ganatomy import randomness
from ganatomy.errors import Refused
from ganatomy.steps.number import NumberScale, choose_number, parse_number

Facts = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Condition:
    """c: the condition of the images of a batch, requested for synthetic images and given for real ones.

    Args:
        categories: (batch, sum of `groups`), one-hot groups side by side, one for each fact.
        groups: the width of each group; empty for a model without conditions.
        numbers: (batch, numbers), standardised; by default there are none.
        present: (batch, arrays), bool: the arrays that the cases of the images have; None = all, as in every sample.
            Generators make all arrays and do not use it (`steps.missing`).
    """

    categories: Tensor
    groups: tuple[int, ...]
    numbers: Tensor = None  # type: ignore[assignment]  # set below
    present: Tensor | None = None

    def __post_init__(self) -> None:
        if self.numbers is None:
            object.__setattr__(self, "numbers", self.categories.new_zeros(len(self.categories), 0))
        assert self.categories.shape[1:] == (sum(self.groups),), f"{self.categories.shape} for groups {self.groups}"

    @property
    def vector(self) -> Tensor:
        """The condition as input of a dense layer: (batch, `ConditionSpace.width`); width zero without conditions."""
        return torch.cat((self.categories, self.numbers), 1)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.categories)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> "Condition":
        """Select the condition of some images, in the order of `rows`; for one image: ``condition[i : i + 1]``."""
        present = None if self.present is None else self.present[rows]
        return Condition(self.categories[rows], self.groups, self.numbers[rows], present)

    def to(self, device: torch.device | str) -> "Condition":
        """Return the condition on a device."""
        present = None if self.present is None else self.present.to(device)
        return Condition(self.categories.to(device), self.groups, self.numbers.to(device), present)


@dataclass(frozen=True)
class ConditionSpace:
    """All facts that a model is conditioned on, with their values.

    Args:
        facts: the name of each fact with the values that it may have, in the order of the vector; empty for a model
            without conditions.
        numbers: the name of each fact that is a number, with its scale; numbers come last in the vector.
    """

    facts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    numbers: Mapping[str, NumberScale] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all facts that the model is conditioned on."""
        return (*self.facts, *self.numbers)

    @property
    def columns(self) -> tuple[tuple[str, str | None], ...]:
        """The meaning of each column of `Condition.vector`: a fact and one of its values, or a number and None."""
        classes = ((name, value) for name, values in self.facts.items() for value in values)
        return (*classes, *((name, None) for name in self.numbers))

    @property
    def groups(self) -> tuple[int, ...]:
        """The number of values of each fact: the widths of the one-hot groups."""
        return tuple(len(values) for values in self.facts.values())

    @property
    def width(self) -> int:
        """The width of `Condition.vector`, zero without conditions."""
        return len(self.columns)

    @property
    def label_width(self) -> int:
        """The number of labels that a discriminator predicts: one per value of each fact, and one per number."""
        return len(self.columns)

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
        seen = [[self._standardise(name, facts) for name in self.numbers] for facts in images]
        numbers = torch.tensor(seen, dtype=torch.float32).view(len(images), len(self.numbers))
        return Condition(torch.cat([torch.zeros(len(images), 0), *hot], 1), self.groups, numbers)

    def make_blank(self, images: int) -> Condition:
        """Make a condition of all zeros; for a model without conditions, this is the only condition."""
        return Condition(torch.zeros(images, sum(self.groups)), self.groups, torch.zeros(images, len(self.numbers)))

    def choose_facts(self, requested: Facts, number: int, seed: int = 0) -> dict[str, str]:
        """Choose the facts of sample `number`: those requested; all others take their values in turn.

        The first fact changes fastest. A number that is not requested is drawn from the training distribution; if a
        range is requested, it is drawn from this range. Both draws are functions of `seed` and `number`.

        Raises:
            Refused: the model does not know a fact or value.
        """
        for name, value in requested.items():
            if name not in self.names:
                known = ", ".join(self.names) or "none: it is unconditional"
                raise Refused(f"The model is not conditioned on {name!r}; its conditions are {known}.")
            if name in self.facts:
                self._check_value(name, value)
        facts = {}
        sample = number
        for name, values in self.facts.items():
            if name in requested:
                facts[name] = requested[name]
            else:
                facts[name] = values[number % len(values)]
                number //= len(values)
        for name, scale in self.numbers.items():
            share = float(randomness.draw_uniform(seed, f"number {name}", [sample]))
            facts[name] = choose_number(name, scale, requested.get(name), share)
        return facts

    def describe_extrapolation(self, images: Iterable[Facts]) -> str | None:
        """Describe which numbers of images lie outside the range of training; None if there are none."""
        for name, scale in self.numbers.items():
            beyond = [facts[name] for facts in images if not scale.low <= float(facts[name]) <= scale.high]
            if beyond:
                told = beyond[0] if len(set(beyond)) == 1 else f"{beyond[0]} and others"
                return (
                    f"{name} {told}: the model was trained on {scale.describe_range()};"
                    " images with such values are extrapolated."
                )
        return None

    def spread_facts(self, images: int) -> list[dict[str, str]]:
        """Make the facts of a number of images in runs of equal length, one run per value of the facts.

        The first run has the first value of every fact, and so on. Numbers rise from the lowest to the highest.
        """
        return [
            {
                **{name: values[i * len(values) // images] for name, values in self.facts.items()},
                **{
                    name: choose_number(name, scale, f"{scale.low}..{scale.high}", i / max(1, images - 1))
                    for name, scale in self.numbers.items()
                },
            }
            for i in range(images)
        ]

    def add_free_facts(self, free: Mapping[str, Sequence[str]]) -> "ConditionSpace":
        """Return these conditions, then facts that may be chosen although the model is not conditioned on them."""
        others = {name: values for name, values in free.items() if name not in self.names}
        return ConditionSpace({**self.facts, **others}, self.numbers)

    def check_store_knows(self, store_facts: Mapping[str, Collection[str]]) -> None:
        """Check that a store has every condition of the model, and no value that the model does not know.

        Args:
            store_facts: the values that occur in the store, by fact.

        Raises:
            Refused: the store lacks a fact of the model, or has a value that the model does not know.
        """
        for name in self.names:
            if name not in store_facts:
                raise Refused(
                    f"The recipe is conditioned on {name!r}, but the facts of the store are {', '.join(store_facts)}."
                )
        for name in self.numbers:
            for value in store_facts[name]:
                parse_number(name, value)
        for name, values in self.facts.items():
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
            self._refuse_missing(name, facts, f"whether its {name} is {', '.join(self.facts[name])}")
        self._check_value(name, facts[name])
        return list(self.facts[name]).index(facts[name])

    def _standardise(self, name: str, facts: Facts) -> float:
        """Return a number of an image, standardised for the networks."""
        if name not in facts:
            self._refuse_missing(name, facts, f"its {name}")
        return self.numbers[name].standardise(parse_number(name, facts[name]))

    def _refuse_missing(self, name: str, facts: Facts, wanted: str) -> NoReturn:
        raise Refused(
            f"The model is conditioned on {name!r}, but an image has {', '.join(facts) or 'no facts'}; state for"
            f" every image {wanted}."
        )

    def _check_value(self, name: str, value: str) -> None:
        if value not in self.facts[name]:
            raise Refused(f"{name} cannot be {value!r}; the model accepts {', '.join(self.facts[name])}.")


UNCONDITIONAL = ConditionSpace()
