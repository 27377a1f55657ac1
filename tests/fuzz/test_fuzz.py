"""2,250 broken DICOM and NIfTI files: no crash, no hang, no gigabyte; each an image or a named reason."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOM = 2**30  # bytes more than the imported libraries take
PROGRAM = """
import resource, sys
import pytest
import fuzz_session  # all that it imports is there before the bound is set
taken = 1024 * int(open("/proc/self/status").read().split("VmSize:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_AS, (taken + {room}, taken + {room}))
options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "--hypothesis-show-statistics"]
sys.exit(pytest.main([*options, fuzz_session.__file__]))
"""


@pytest.mark.ci
def test_broken_files_end_in_an_image_or_a_reason():
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(room=ROOM)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
        env=os.environ | {"PYTHONPATH": str(HERE.parent / "helpers")},
    )
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
    passed = [int(n) for n in re.findall(r"(\d+) passing, 0 failing", told.stdout)]
    assert sum(passed) >= 2000, told.stdout
