"""Resident memory of this process as reported by Linux: ``VmRSS`` is the current, ``VmHWM`` the largest value."""

from pathlib import Path


def resident(what):
    """The value of this line of ``/proc/self/status``, such as ``VmRSS``, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024
