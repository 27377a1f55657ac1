"""The example of CONTRIBUTING.md is run as it stands there."""

import re
from pathlib import Path

from ganatomy.checkpoint import open_snapshot
from ganatomy.recipes.recipe import Recipe
from ganatomy.sampling import sample
from ganatomy.training.train import train

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text()


def test_a_model_in_one_file(volumes, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    recipe = names["hagan_relativistic"]()
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    run = train(recipe.make_tiny().replace(total_kimg=0.032), volumes, tmp_path)
    image, record = next(iter(sample(open_snapshot(run.list_snapshots()[-1]), 1)))
    assert image.shape == (32, 32, 32)
    assert record["generator"] == "hagan-relativistic"
    log = (run.path / "log.jsonl").read_text()
    assert "relativistic" in log
