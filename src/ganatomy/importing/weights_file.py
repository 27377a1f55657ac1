"""Reading tensors from files of PyTorch that somebody else has written, without running what is in them."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganatomy.errors import Refused

TENSORFLOW_ROOTS = ("dnnlib", "tfutil", "tensorflow", "network")  # modules that pickles of TensorFlow networks name
GLOBAL_PATTERN = re.compile(r"GLOBAL (\S+)")  # how torch names what a file asks for
WRAPPER = "module"  # part of a name that DataParallel and layers around layers add


def read_weights_file(file: Path, containers: Mapping[str, type] | None = None) -> Any:
    """What a file of ``torch.save`` holds: tensors in dictionaries and lists.

    Args:
        file: somebody's file.
        containers: classes without code of their own that stand for the classes of the file with these full names,
            such as the settings that some programs save beside the tensors.

    Raises:
        Refused: it is none, or holds objects whose loading would run code.
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
    """Why a pickle is not loaded, and what to do."""
    named = GLOBAL_PATTERN.search(told)
    if named is None:
        return f"{file} is no file of PyTorch, or is damaged; give a file that torch.save wrote."
    if named[1].split(".")[0] in TENSORFLOW_ROOTS:
        return (
            f"{file} is a pickle of a TensorFlow network ({named[1]}); loading it would run the code that it carries,"
            " so it is not read. Convert it to a file of PyTorch tensors with a program that you trust."
        )
    return (
        f"{file} holds {named[1]} besides tensors; loading it would run code, so it is not read. Save the tensors alone"
        " where you trust the file: torch.save(model.state_dict(), FILE)."
    )


def select_tensors(content: Any) -> dict[str, Tensor]:
    """The tensors of a state dictionary by name, as float32, without the names of wrappers around layers."""
    found = {}
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Tensor):
            parts = [part for part in str(name).split(".") if part != WRAPPER]
            found[".".join(parts)] = value.detach().float() if value.is_floating_point() else value.detach()
    return found
