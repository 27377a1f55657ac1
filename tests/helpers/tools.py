"""Programs that the development set-up installs."""

import shutil
import sysconfig

import pytest


def tool(name):
    """The path of a program; the test is skipped when it is not there."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; it comes with the development set-up")
    return found
