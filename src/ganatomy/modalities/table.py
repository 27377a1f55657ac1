"""The modalities by name."""

from collections.abc import Callable

from ganatomy.errors import Refused
from ganatomy.modalities.brain_mri import BrainMRI
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.modality import Modality

MODALITIES: dict[str, Callable[..., Modality]] = {"mammogram": Mammogram, "chest_ct": ChestCT, "brain_mri": BrainMRI}


def get_modality(name: str) -> Callable[..., Modality]:
    """What makes the modality of that name.

    Raises:
        Refused: there is none; the message lists those there are.
    """
    if name not in MODALITIES:
        raise Refused(f"There is no modality {name!r}; there are {', '.join(MODALITIES)}.")
    return MODALITIES[name]
