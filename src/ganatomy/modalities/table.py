"""Table of the modalities by name."""

from dataclasses import fields
from typing import Any

from ganatomy.errors import Refused, refuse_name
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
        raise refuse_name(f"There is no modality {name!r}", name, MODALITIES)
    return MODALITIES[name]


def make_modality(name: str, **given: Any) -> Modality:
    """Make the modality with this name and the given options; None stands for an option that was not given.

    Raises:
        Refused: there is no such modality, or it has no such option.
    """
    make = get_modality(name)
    options = {option: value for option, value in given.items() if value is not None}
    if wrong := sorted(set(options) - set(list_options(name))):
        raise Refused(f"--{wrong[0].replace('_', '-')} is not an option of {name}.")
    return make(**options)


def list_options(name: str) -> tuple[str, ...]:
    """List the names of the options that a modality is called with: ``facts``, ``shape`` and its own.

    Raises:
        Refused: there is no such modality.
    """
    return tuple(option.name for option in fields(get_modality(name)) if option.init)
