"""Where to compute."""

import torch

from ganatomy.refused import Refused


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
