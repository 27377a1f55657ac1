"""The site builds without a warning and without a network, and has what it promises; its tutorials run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

import ganatomy
import ganatomy.cli  # registers the commands
from ganatomy.cli.app import commands

DOCS = ROOT / "docs"
TUTORIALS = sorted(path for path in (DOCS / "tutorials").glob("*.md") if path.name != "index.md")
# A process of its own, whose kernel is reached by files and not by ports of the machine.
RUNNER = """
import sys, nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, km=AsyncKernelManager(transport="ipc", kernel_name="python3"), timeout=600).execute()
nbformat.write(notebook, sys.argv[1])
"""


def test_every_public_name_is_in_the_reference():
    page = (DOCS / "reference" / "python.md").read_text()
    shown = re.findall(r"^\.\. auto\w+:: ganatomy\.(\w+)$", page, re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert {*shown, "RECIPES"} == set(ganatomy.__all__)


def test_every_command_is_in_the_reference():
    page = (DOCS / "reference" / "cli.md").read_text()
    told = "run: python docs/reference/make_cli.py"  # a section shows the texts up to that of the next verb
    assert re.findall(r"^## `ganatomy (\S+)`$", page, re.MULTILINE) == list(commands), told


@pytest.mark.ci
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("furo", reason="the group docs is not installed (make test-ci installs it)")
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}  # a download would fail
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, tmp_path / "html"]
    built = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | nowhere)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "html" / "reference" / "python.html").read_text()
    assert all(f'id="ganatomy.{name}"' in reference for name in ganatomy.__all__ if name != "RECIPES")
    assert "image i of a seed is always the same" in (tmp_path / "html" / "reference" / "cli.html").read_text()


@pytest.mark.ci
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(page, tmp_path, monkeypatch):
    """As a reader runs it: turned into a notebook by the command of the page, and its cells by a kernel of its own."""
    pytest.importorskip("myst_nb", reason="the group docs is not installed (make test-ci installs it)")
    programs = Path(sys.executable).parent
    notebook = tmp_path / "notebook.ipynb"
    subprocess.run([programs / "mystnb-to-jupyter", page, notebook], check=True, capture_output=True)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")  # of the lines that begin with !
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ran = subprocess.run([sys.executable, "-c", RUNNER, notebook], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4
    assert all(cell["execution_count"] for cell in cells)
    told = json.dumps([cell["outputs"] for cell in cells])
    assert "ganatomy: " not in told  # a command that refuses what a line gives it
