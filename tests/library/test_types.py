"""A type checker sees the types of what a user calls, in its strict mode."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).resolve().parents[2]
TYPED = Path(__file__).parent / "typed"


@pytest.mark.ci
def test_a_script_of_a_user_is_checked_strictly():
    """Settings and cache are those of the project, whose `strict` is true, so that the package is not checked twice."""
    told, errors, _ = api.run(
        [*(str(TYPED / name) for name in ("right.py", "wrong.py")), "--config-file", str(ROOT / "pyproject.toml")]
    )
    assert not errors
    lines = [line.rpartition("typed/")[2] for line in told.splitlines() if ": error:" in line]
    found = {
        int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]") for line in lines if line.startswith("wrong.py")
    }
    assert not [line for line in lines if line.startswith("right.py")], told
    assert found == {6: "arg-type", 7: "attr-defined", 8: "call-overload", 9: "arg-type", 10: "assignment"}, told
