"""Table of the modalities by name."""

from dataclasses import fields

from ganatomy.errors import Refused
from ganatomy.modalities.brain_mri import BrainMRI
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.modality import Modality

MODALITIES: dict[str, type[Modality]] = {"mammogram": Mammogram, "chest_ct": ChestCT, "brain_mri": BrainMRI}


def get_modality(name: str) -> type[Modality]:
    """Return the class of the modality with a name; it is called with its options, which all have defaults.

    Raises:
        Refused: there is no such modality; the message lists those that exist.
    """
    if name not in MODALITIES:
        raise Refused(f"There is no modality {name!r}; choose one of {', '.join(MODALITIES)}.")
    return MODALITIES[name]


def list_options(name: str) -> tuple[str, ...]:
    """List the names of the options that a modality is called with: ``facts``, ``shape`` and its own.

    Raises:
        Refused: there is no such modality.
    """
    return tuple(option.name for option in fields(get_modality(name)) if option.init)
