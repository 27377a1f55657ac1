"""What of a machine belongs to this process, where several processes of one training run on it: cores and memory."""

import os

import torch

from ganatomy.machine.device import measure_free_memory


def count_local_processes() -> int:
    """How many processes of this training torchrun has started on this machine; 1 = this one alone."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def count_own_cores() -> int:
    """Cores that this process may run on, divided by the processes of this training; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // count_local_processes())


def measure_own_memory() -> int:
    """Bytes of the machine that are free now, divided by the processes of this training."""
    return measure_free_memory(torch.device("cpu")) // count_local_processes()
