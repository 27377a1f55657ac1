"""The short form of `benchmarks/faults.py`: every command under every fault ends as the unbroken one, or says why."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "faults.py"


@pytest.mark.ci
def test_every_command_ends_as_if_nothing_had_been_or_says_why():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--seed", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    wrong = [row for row in told["rows"] if not row["good"]]
    assert wrong == [], json.dumps(wrong, indent=1)
    assert told["kills"] >= 4
    assert len(told["rows"]) in (25, 29)  # four of them where a file system may be mounted
    assert {row["command"] for row in told["rows"] if "SIGKILL" in row["fault"]} == {
        *("train", "prepare", "sample", "export", "evaluate", "encode", "augment-study", "benchmark")
    }
