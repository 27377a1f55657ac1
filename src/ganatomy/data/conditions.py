"""Named facts to a condition vector and back."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ganatomy.errors import Refused

Conditions = Mapping[str, Sequence[str]]


def encode_facts(conditions: Conditions, facts: Mapping[str, str]) -> NDArray[np.float32]:
    """One-hot groups side by side, in the order of `conditions`; width zero without conditions."""
    groups = [np.eye(len(values), dtype=np.float32)[values.index(facts[name])] for name, values in conditions.items()]
    return np.concatenate([*groups, np.zeros(0, dtype=np.float32)])


def choose_facts(conditions: Conditions, requested_facts: Mapping[str, str], number: int) -> dict[str, str]:
    """The facts of sample `number`: the wanted values; all others are taken in turn, the first named fastest.

    Raises:
        Refused: a fact or value that the model does not know.
    """
    for name, value in requested_facts.items():
        if name not in conditions:
            known = ", ".join(conditions) or "none: it is unconditional"
            raise Refused(f"The model is not conditioned on {name!r}; its conditions are {known}.")
        if value not in conditions[name]:
            raise Refused(f"{name} cannot be {value!r}; the model knows {', '.join(conditions[name])}.")
    facts = {}
    for name, values in conditions.items():
        if name in requested_facts:
            facts[name] = requested_facts[name]
        else:
            facts[name] = values[number % len(values)]
            number //= len(values)
    return facts
