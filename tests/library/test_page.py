"""The lines of docs/library.md run in their order, in a folder with phantom mammograms."""

import re
import shutil
from pathlib import Path

import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "library.md"


def test_the_lines_of_the_page_run_in_their_order(cohort, store, run, tmp_path, monkeypatch, capfd):
    """The store and the run are there already, so that `prepare` and `train` find them complete."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mammograms").symlink_to(cohort)
    shutil.copytree(store.path, tmp_path / "store")
    shutil.copytree(run.path, tmp_path / "runs" / run.path.name)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    names = {"__name__": "page"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/library.md, block {number}", "exec"), names)
    assert len(list((tmp_path / "samples").glob("*.png"))) == 8
    assert names["batch"]["image"].shape[1:] == (1, 20, 16)
    printed = capfd.readouterr().out
    assert "view_position cannot be 'ML'; the model accepts CC, MLO." in printed
    assert torch.is_tensor(names["image"].to_torch())
