"""Choice of the device, its free memory, and whether freed CPU memory stays in the process."""

import ctypes
from pathlib import Path

import torch

from ganatomy.errors import Refused

MALLOC_OPTIONS = {-4: 0, -1: 2**31 - 1, -2: 2**28}  # glibc: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD (bytes)
CGROUP_MEMORY_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)  # of a container, new and old


def select_device(name: str | None) -> torch.device:
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
    """Bytes that can still be allocated on a device: of a GPU, or of this machine within the limits of a container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [_read_available_memory(), *(_read_cgroup_free_memory(*names) for names in CGROUP_MEMORY_FILES)]
    return min((n for n in free if n is not None), default=2**63)


def _read_available_memory() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _read_cgroup_free_memory(limit: str, used: str) -> int | None:
    try:
        return int(Path(limit).read_text()) - int(Path(used).read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
