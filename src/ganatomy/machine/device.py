"""Choice of the device and its float32 precision, its free memory, and whether a process keeps freed memory."""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from ganatomy.errors import Refused

MALLOC_OPTIONS = {-4: 0, -1: 2**31 - 1, -2: 2**28}  # glibc: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD (bytes)
CGROUP_MEMORY_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)  # of a container, new and old


CUDA_CONTEXT_BYTES = 500 * 2**20  # that a process takes on a GPU before its first tensor; estimated, not measured

_usual_device: str | None = None  # what None stands for


@contextmanager
def usual_device(name: str | None) -> Iterator[None]:
    """Within it `select_device(None)` is the device of that name, for all that is not told where to compute.

    Raises:
        Refused: no such device here.
    """
    global _usual_device
    before = _usual_device
    select_device(name)
    _usual_device = name
    try:
        yield
    finally:
        _usual_device = before


def select_device(name: str | None) -> torch.device:
    """The device of that name; None = the usual one (`usual_device`), else a GPU if there is one, else the processor.

    On a GPU products and convolutions are in true float32 from here on; training says otherwise while it runs
    (`float32_flags`).

    Raises:
        Refused: no such device here.
    """
    name = name or _usual_device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] == "mps":
        raise Refused(f"--device {name}: Apple's GPUs lack float64, which is needed here; give cpu.")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise Refused(f"--device {name}: give cpu, cuda or cuda:NUMBER.")
    if name != "cpu" and not torch.cuda.is_available():
        raise Refused(f"--device {name}: torch finds no GPU here; give cpu, or install a build of torch for your GPU.")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise Refused(f"--device {name}: give cpu, cuda or cuda:NUMBER.") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            known = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
            raise Refused(f"--device {name}: there is no such GPU here; give {known}.")
        _allow_tf32(False)
    return device


# ----------------------------------------------------------------------------------------------------------------------
# Precision and order of what a GPU computes.


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def float32_flags(device: torch.device, tf32: bool) -> Iterator[None]:
    """Whether a GPU may shorten float32 to the 10 bits of TF32 in products and convolutions; undone at the end."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    _allow_tf32(tf32)
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Within it an operation gives the same bits every time on one GPU, or raises; undone at the end.

    The variable CUBLAS_WORKSPACE_CONFIG, which NVIDIA's library reads when it is first used, stays set.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch_flags: Any = torch.utils.deterministic  # its flag is made when the module is loaded
    filled = torch_flags.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch_flags.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch_flags.fill_uninitialized_memory = filled


@contextmanager
def searched_kernels(wanted: bool) -> Iterator[None]:
    """Whether cuDNN tries its algorithms at every new shape; undone at the end."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def find_unordered_operation(error: BaseException) -> str | None:
    """The operation that `deterministic_algorithms` has stopped, if that is what an error of torch says."""
    found = re.search(r"(\S+) does not have a deterministic implementation", str(error))
    return found[1] if isinstance(error, RuntimeError) and found else None


def describe_device(device: torch.device) -> dict[str, Any]:
    """What decides the last digits of a result: the device, its libraries and their settings."""
    card = device.type == "cuda"
    return {
        "name": str(device),
        "gpu": torch.cuda.get_device_name(device) if card else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if card else None,
        "tf32_products": torch.backends.cuda.matmul.allow_tf32 if card else False,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32 if card else False,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


# ----------------------------------------------------------------------------------------------------------------------
# Memory.


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees; False where the C library knows no such thing (not glibc).

    glibc gives every large block back to the system when it is freed and gets it again, page by page and zeroed, when
    the next activation needs it: a third of a training step on a processor is spent in the system for nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(option, value) == 1 for option, value in MALLOC_OPTIONS.items()])


OUT_OF_MEMORY_PHRASES = (
    "not enough memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",
)  # processor; cuBLAS, cuDNN


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that a device had no memory left."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in OUT_OF_MEMORY_PHRASES)


def measure_total_memory(device: torch.device) -> int:
    """Bytes that a GPU has; of a processor what can still be allocated (`measure_free_memory`)."""
    return int(torch.cuda.mem_get_info(device)[1]) if device.type == "cuda" else measure_free_memory(device)


def measure_free_memory(device: torch.device) -> int:
    """Bytes that this process may take on a device: of a GPU, or of this machine within the limits of a container.

    What it has taken for its context on a GPU by asking is among them: a plan counts it with the libraries.
    """
    if device.type == "cuda":
        left, total = torch.cuda.mem_get_info(device)
        return min(left + CUDA_CONTEXT_BYTES, total)
    limits = (_read_cgroup_free_memory(*names) for names in CGROUP_MEMORY_FILES)
    return min([int(psutil.virtual_memory().available), *(n for n in limits if n is not None)])


def _read_cgroup_free_memory(limit: str, used: str) -> int | None:
    try:
        return int(Path(limit).read_text()) - int(Path(used).read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
