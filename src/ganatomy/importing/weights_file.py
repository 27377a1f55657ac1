"""Reading of tensors from PyTorch files of any origin, without running code of the files."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganatomy.errors import Refused

TENSORFLOW_ROOTS = ("dnnlib", "tfutil", "tensorflow", "network")  # modules that pickles of TensorFlow networks name
GLOBAL_PATTERN = re.compile(r"GLOBAL (\S+)")  # names, in an error of torch.load, the object that a file refers to
WRAPPER = "module"  # part of a tensor's name that DataParallel and other wrappers of layers add


def read_weights_file(file: Path, containers: Mapping[str, type] | None = None) -> Any:
    """Read a file of ``torch.save``: tensors in dictionaries and lists.

    Args:
        file: a file of any origin.
        containers: classes without code, by the full names of the classes of the file that they replace, such as the
            class of the settings that some programs save with the tensors.

    Raises:
        Refused: it is not a file of ``torch.save``, or contains objects whose loading would run code.
    """
    allowed = [(kind, name) for name, kind in (containers or {}).items()]
    try:
        with torch.serialization.safe_globals(allowed):  # type: ignore[arg-type]
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise Refused(_explain_pickle(file, str(error))) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError, UnicodeError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise Refused(
            f"{file} cannot be read as a file of PyTorch ({why}); give a file that torch.save wrote."
        ) from error


def _explain_pickle(file: Path, told: str) -> str:
    """Explain why a pickle is not loaded and what to do."""
    named = GLOBAL_PATTERN.search(told)
    if named is None:
        return f"{file} is not a file of PyTorch or is damaged; give a file that torch.save wrote."
    if named[1].split(".")[0] in TENSORFLOW_ROOTS:
        return (
            f"{file} is a pickle of a TensorFlow network ({named[1]}); loading it would run the code that it carries,"
            " so it is not read. Convert it to a file of PyTorch tensors with a program that you trust."
        )
    return (
        f"{file} contains {named[1]} besides tensors; loading it would run code, so it is not read. If you trust the"
        " file, load it elsewhere and save only its tensors: torch.save(model.state_dict(), FILE)."
    )


def select_tensors(content: Any) -> dict[str, Tensor]:
    """Select the tensors of a state dictionary by name, as float32, without name parts that wrappers of layers add."""
    found = {}
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Tensor):
            parts = [part for part in str(name).split(".") if part != WRAPPER]
            found[".".join(parts)] = value.detach().float() if value.is_floating_point() else value.detach()
    return found
