"""This process's share of the cores and memory of a machine on which several processes of a training run."""

import os

import torch

from ganatomy.machine.device import measure_free_memory


def count_local_processes() -> int:
    """Count the processes of this training that torchrun has started on this machine; 1 = only this process."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def count_own_cores() -> int:
    """Count the cores that this process may use, divided by the processes of this training; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // count_local_processes())


def measure_own_memory() -> int:
    """Measure the free bytes of the machine, divided by the processes of this training."""
    return measure_free_memory(torch.device("cpu")) // count_local_processes()
