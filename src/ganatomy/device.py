"""Where to compute, and how the processor's memory is kept."""

import ctypes

import torch

from ganatomy.refused import Refused

MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 2**28}  # glibc: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD (bytes)


def device(name: str | None) -> torch.device:
    """The device of that name; None = a GPU if there is one, else the processor.

    Raises:
        Refused: no such device here.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise Refused(f"--device {name}: give cpu, cuda or cuda:NUMBER.")
    if name != "cpu" and not torch.cuda.is_available():
        raise Refused(f"--device {name}: torch finds no GPU here; give cpu, or install a build of torch for your GPU.")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise Refused(f"--device {name}: give cpu, cuda or cuda:NUMBER.") from error


def hold_memory() -> bool:
    """Let this process keep the memory that it frees; False where the C library knows no such thing (not glibc).

    glibc gives every large block back to the system when it is freed and gets it again, page by page and zeroed, when
    the next activation needs it: a third of a training step on a processor is spent in the system for nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(option, value) == 1 for option, value in MALLOPT.items()])
