"""What holds the house up: short files, imports that point down, a README that is complete, frozen names."""

import importlib
import inspect
import pkgutil
import re
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ganatomy

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ganatomy"
MODULES = sorted(p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*.py"))
LONGEST = 400


def test_no_file_is_long():
    long = {module: lines for module in MODULES if (lines := len((SOURCE / module).read_text().splitlines())) > LONGEST}
    assert not long


def test_the_list_of_files_is_that_of_the_modules():
    script = ROOT / "docs" / "reference" / "make_files.py"
    made = runpy.run_path(str(script))["table"]()
    assert made == script.with_name("files.md").read_text(), "run python docs/reference/make_files.py"


def test_public_names():
    assert set(ganatomy.__all__) == {
        "prepare",
        "train",
        "import_weights",
        "select",
        "sample",
        "encode",
        "evaluate",
        "export",
        "publish",
        "write_card",
        "write_croissant",
        "send",
        "verify",
        "open",
        "Image",
        "Images",
        "MixedDataset",
        "Model",
        "Recipe",
        "RECIPES",
        "Refused",
        "Report",
        "Run",
        "Samples",
        "Snapshot",
        "Store",
        "Tracker",
        "get_example_model",
        "StoreDataset",
        "SyntheticDataset",
        "SyntheticImage",
    }
    assert set(ganatomy.__all__) < set(dir(ganatomy))
    for module in pkgutil.walk_packages(ganatomy.__path__, "ganatomy."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)  # no module may hide a verb: `ganatomy.export` stays the function
    for name in ganatomy.__all__:
        assert getattr(ganatomy, name).__doc__ or name == "RECIPES"
        assert not inspect.ismodule(getattr(ganatomy, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ganatomy.nothing  # noqa: B018


def test_import_contracts():
    tool = Path(sysconfig.get_path("scripts")) / "lint-imports"
    told = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_help_needs_no_torch():
    program = "import sys, ganatomy.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_reading_dicom_needs_no_torch():
    program = "import sys, ganatomy.modalities.mammogram, ganatomy.phantoms.cohort; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_no_path_of_a_machine_and_no_medical_image_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    assert not [f for f in listed if f.endswith((".dcm", ".nii", ".nii.gz", ".npy", ".npz"))]
    absolute = re.compile(r"/(work|home|root|tmp)/[a-z]")
    for name in listed:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".yaml", ".sh") and path.exists():
            assert not absolute.search(path.read_text()), name


def test_every_module_says_what_it_is():
    for module in MODULES:
        text = (SOURCE / module).read_text()
        assert text.startswith('"""'), module


def test_the_examples_in_docstrings_run():
    import doctest

    import ganatomy.pyramid
    import ganatomy.steps.hierarchy

    for module in (ganatomy, ganatomy.pyramid, ganatomy.steps.hierarchy):
        done = doctest.testmod(module)
        assert done.attempted
        assert not done.failed
