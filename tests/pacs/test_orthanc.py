"""Debian's Orthanc in a network namespace of its own, with the tests of `orthanc_session.py` inside."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ALONE = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")


@pytest.mark.ci
def test_a_real_archive_takes_and_returns_everything():
    if shutil.which("Orthanc") is None:
        pytest.skip("Orthanc is not installed (Debian: orthanc, orthanc-dicomweb); test_sending.py has other archives")
    up = "ip link set lo up"
    if (
        shutil.which("unshare") is None
        or subprocess.run([*ALONE, "sh", "-c", up], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine allows no network namespace, and this Orthanc would listen on all its addresses")
    inside = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "orthanc_session.py")]
    told = subprocess.run(
        [*ALONE, "sh", "-c", f'{up} && exec "$@"', "sh", *inside],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-8000:] + told.stderr[-2000:]
    assert " passed" in told.stdout
    assert "skipped" not in told.stdout
