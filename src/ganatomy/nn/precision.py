"""Names of precisions, computation in one, and operations that keep the precision of their input on every device.

For each device, autocast has a list of operations that it computes in float32, and the lists differ: that of GPUs
contains normalisations and upsampling, that of CPUs the average pooling of volumes. The operations of this file work in
the precision of their input instead, so that the tensors of a network have the same types on every device. Their
kernels accumulate in float32 in any case.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from ganatomy.errors import Refused, refuse_name
from ganatomy.machine.choices import Precision
from ganatomy.machine.device import float32_flags

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FAULTY_CUDNN_VERSIONS = range(90800, 91500)  # half precision 3D convolutions give wrong results (PyTorch issue 163539)
AUTOCAST_DEVICES = ("cpu", "cuda")  # there is no autocast for meta tensors, which serve to estimate memory


def refuse_precision(precision: str) -> Refused:
    """Make the refusal of a precision that does not exist."""
    return refuse_name(f"--precision {precision}: there is no such precision", precision, PRECISIONS)


def check_precision(precision: Precision, ndim: int, device: torch.device) -> None:
    """Check that images of `ndim` axes can be computed in a precision on a device.

    Raises:
        Refused: the precision is unknown, there is no TF32, or this version of cuDNN computes half precision 3D
            convolutions wrongly.
    """
    if precision not in PRECISIONS:
        raise refuse_precision(precision)
    if precision == "tf32" and device.type != "cuda":
        raise Refused(f"--precision tf32 is for NVIDIA GPUs, but the device is {device}; give float32 or bfloat16.")
    version = torch.backends.cudnn.version() if device.type == "cuda" else None
    if ndim == 3 and PRECISIONS[precision] != torch.float32 and version in FAULTY_CUDNN_VERSIONS:
        raise Refused(
            f"cuDNN {version} computes half precision 3D convolutions wrongly; give --precision float32, or install"
            " a build of torch with cuDNN 9.15 or newer."
        )


@contextmanager
def compute_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute networks in a precision within the block; their weights and outputs may stay in float32."""
    dtype = PRECISIONS[precision]
    with float32_flags(device, precision == "tf32"), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield


def disable_autocast(x: Tensor) -> torch.autocast:
    """Return a context in which operations on the device of x keep the precision of their input."""
    return torch.autocast(x.device.type if x.device.type in AUTOCAST_DEVICES else "cpu", enabled=False)


def normalise_groups(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> Tensor:
    """Apply group normalisation (Wu 2018) to x (batch, channel, *space) in the precision of x."""
    with disable_autocast(x):
        return F.group_norm(x, groups, _cast(weight, x), _cast(bias, x), epsilon)


def normalise_last_axis(
    x: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> Tensor:
    """Apply layer normalisation (Ba 2016) over the last axes of x, which have this shape, in the precision of x."""
    with disable_autocast(x):
        return F.layer_norm(x, shape, _cast(weight, x), _cast(bias, x), epsilon)


def _cast(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    return None if parameter is None else parameter.to(x.dtype)
