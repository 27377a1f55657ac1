"""The modalities by name."""

from collections.abc import Callable

from ganatomy.modalities.mammogram import Mammogram
from ganatomy.refused import Refused

MODALITIES: dict[str, Callable[..., Mammogram]] = {"mammogram": Mammogram}


def named(name: str) -> Callable[..., Mammogram]:
    """What makes the modality of that name.

    Raises:
        Refused: there is none; the message lists those there are.
    """
    if name not in MODALITIES:
        raise Refused(f"There is no modality {name!r}; there are {', '.join(MODALITIES)}.")
    return MODALITIES[name]
