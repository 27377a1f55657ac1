"""The device: its choice, its float32 precision and its free memory; and freed memory that a process keeps."""

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


CUDA_CONTEXT_BYTES = 500 * 2**20  # memory of a process on a GPU before its first tensor; estimated, not measured

_usual_device: str | None = None  # the device that None means


@contextmanager
def usual_device(name: str | None) -> Iterator[None]:
    """Make `select_device(None)` return the device of that name within the block.

    Raises:
        Refused: this machine has no such device.
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
    """Select the device of that name; None = the device of `usual_device`, else a GPU if there is one, else the CPU.

    From then on, a GPU computes products and convolutions in full float32; training may change this while it runs
    (`float32_flags`).

    Raises:
        Refused: this machine has no such device.
    """
    name = name or _usual_device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] == "mps":
        raise Refused(f"--device {name}: Apple's GPUs have no float64, which ganatomy needs; give cpu.")
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
        _let_segments_grow()
    return device


# ----------------------------------------------------------------------------------------------------------------------
# Precision and order of computation on a GPU.


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def float32_flags(device: torch.device, tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 (float32 with 10 bits) in products and convolutions of a GPU within the block."""
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
    """Within the block, an operation gives the same bits every time on the same GPU, or raises an error.

    The environment variable CUBLAS_WORKSPACE_CONFIG, which cuBLAS reads when it is first used, remains set.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch_flags: Any = torch.utils.deterministic  # its flag exists once the module is loaded
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
    """Let cuDNN try its algorithms at every new shape within the block, or not."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def find_unordered_operation(error: BaseException) -> str | None:
    """Find the operation that `deterministic_algorithms` has stopped, in an error of torch; None for other errors."""
    found = re.search(r"(\S+) does not have a deterministic implementation", str(error))
    return found[1] if isinstance(error, RuntimeError) and found else None


def describe_device(device: torch.device) -> dict[str, Any]:
    """Describe what the last digits of a result depend on: the device, its libraries and their settings."""
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
        "allocator": get_allocator_settings() if card else None,
    }


# ----------------------------------------------------------------------------------------------------------------------
# Memory.

ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # torch reads either; the first is the new name


def _let_segments_grow() -> None:
    """Let the memory segments of a GPU grow in place, unless the user has configured torch's allocator.

    The sizes of activations change with the level of progressive growing and with the batch size of sampling. Without
    this setting, freed segments of the old sizes remain reserved and do not fit the new ones. Torch reads the variable
    at its first allocation on a GPU, and processes that are started later inherit it.
    """
    if not any(name in os.environ for name in ALLOCATOR_VARIABLES):
        os.environ[ALLOCATOR_VARIABLES[0]] = "expandable_segments:True"


def get_allocator_settings() -> str | None:
    """Return the settings of torch's GPU allocator as given by the environment; None = torch's defaults."""
    return next((os.environ[name] for name in ALLOCATOR_VARIABLES if name in os.environ), None)


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees; return False if the C library cannot do this (not glibc).

    By default, glibc returns every large freed block to the system and requests it again for the next activation, page
    by page and zeroed. This takes a third of the time of a training step on a CPU.
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
    """Whether an error of torch says that a device has run out of memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in OUT_OF_MEMORY_PHRASES)


def measure_total_memory(device: torch.device) -> int:
    """Measure the bytes of a GPU; for the CPU, those that can still be allocated (`measure_free_memory`)."""
    return int(torch.cuda.mem_get_info(device)[1]) if device.type == "cuda" else measure_free_memory(device)


def measure_used_memory(device: torch.device) -> int:
    """Bytes that this process has in use: the tensors on a GPU, or all of its resident memory on a processor."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def measure_free_memory(device: torch.device) -> int:
    """Measure the bytes that this process may allocate on a GPU, or on this machine within the limits of a container.

    The bytes of the process's own context on a GPU are included, because a plan counts them with the libraries.
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
