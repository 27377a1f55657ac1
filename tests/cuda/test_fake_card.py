"""Every recipe on a card that has no numbers (`fake_card.py`): what a real card would refuse is found without one."""

import fcntl
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from ganatomy.recipes import RECIPES, get_recipe

HERE = Path(__file__).parent
LEAST_PLANNED, MOST_PLANNED = 0.9, 1.1  # planned memory over that of the card's book
PRECISIONS = ("float32", "bfloat16", "float16")
pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def library():
    sys.path.insert(0, str(HERE))
    try:
        from guard import NotBuilt, build_guard
    finally:
        sys.path.remove(str(HERE))
    try:
        return str(build_guard())
    except NotBuilt as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rows(library, request, tmp_path_factory):
    """What came of the recipes that were asked for, in one process for each precision, whatever number of workers."""
    asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder  # of all workers of this session

    @cache
    def compute(what, precision):
        file = folder / f"fake-card-{what}-{precision}.jsonl"
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                names = [n for n in RECIPES if any(p.get("name") == n for p in asked)]
                words = [sys.executable, str(HERE / "fake_card.py"), library, what, precision, ",".join(names)]
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr[-2000:]
                file.write_text(done.stdout)
        return {row["recipe"]: row for row in map(json.loads, file.read_text().splitlines())}

    def look_up(what, precision, name):
        row = compute(what, precision)[name]
        assert "error" not in row, row["error"]
        return row

    return look_up


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", RECIPES)
def test_a_step_runs_as_planned(name, precision, rows):
    """Fade, penalty, optimiser and average; one device, one layout, one type for each kernel."""
    fades = False
    for stage in rows("step", precision, name)["stages"]:
        assert stage["devices"] == ["cuda:0"]
        assert stage["kernels_laid_out"]
        if precision != "float16":  # whose layout is not the usual one of a card
            assert LEAST_PLANNED <= stage["planned"] / stage["peak"] <= MOST_PLANNED, stage["stage"]
        fades |= stage["alpha"] is not None and stage["alpha"] < 1
        half = {kind.split()[0] for kind in stage["types"] if kind.endswith(precision)}
        assert {"convolution", "convolution_backward"} <= half or stage["stage"] == "prior"
    assert fades == hasattr(get_recipe(name).strategy, "fade_kimg")


@pytest.mark.parametrize("name", ["hagan", "hagan-2022", "pggan-mammogram", "stylegan2", "latent-diffusion"])
def test_bfloat16_needs_at_most_three_quarters_of_the_memory(name, rows):
    """What stays alive between two convolutions is in half precision, too."""
    for whole, half in zip(*(rows("step", p, name)["stages"] for p in ("float32", "bfloat16")), strict=True):
        assert half["peak"] <= 0.75 * whole["peak"]


@pytest.mark.parametrize("name", RECIPES)
def test_images_slabs_and_codes_are_made(name, rows):
    recipe = get_recipe(name)
    done = rows("sample", "float32", name)["done"]
    assert "image" in done
    assert ("slabs" in done) == (recipe.networks["generator"].min_slab_planes is not None)
    assert ("code" in done) == (recipe.encoding_objective is not None)
