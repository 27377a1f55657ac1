"""A script that uses the package runs once, whatever processes the package starts."""

import os
import subprocess
import sys

import pytest

PLAIN = """
import ganatomy

print("begun", flush=True)
store = ganatomy.prepare({raw!r}, "mammogram", {out!r}, shape=(80, 64), workers=2)
print("cases", store.manifest.cases)
"""

OWN_MODALITY = """
from dataclasses import dataclass

import ganatomy
from ganatomy.modalities.mammogram import Mammogram


@dataclass(frozen=True)
class Darker(Mammogram):
    def normalise(self, image):
        return super().normalise(image.copy_with(pixels=image.pixels / 2))


if __name__ == "__main__":
    print("begun", flush=True)
    store = ganatomy.prepare({raw!r}, Darker(shape=(80, 64)), {out!r}, workers=2)
    print("cases", store.manifest.cases)
"""


@pytest.mark.ci
@pytest.mark.parametrize("text", [PLAIN, OWN_MODALITY], ids=["without guard", "modality of its own"])
def test_a_script_is_run_once(text, cohort, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(text.format(raw=str(cohort), out=str(tmp_path / "store")))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=300, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("begun") == 1
    assert "cases 40" in done.stdout
    assert "Workers are ended" not in done.stdout
    assert len(list((tmp_path / "store" / "parts").glob("*.jsonl"))) >= 1
