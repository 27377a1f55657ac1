"""What a release says about itself: one version, one address, extras that the tests install, no dead links."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

import ganatomy

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ABOUT = PROJECT["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
OPTIONAL = [
    "umap",
    "numba",
    "pyarrow",
    "monai",
    "duckdb",
    "idc_index_data",
    "obstore",
    "distributed",
    "pynetdicom",
    "requests",
    "tensorboard",
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_the_version_is_that_of_the_distribution_the_citation_and_pyproject():
    assert ganatomy.__version__ == version("ganatomy")
    assert CITATION["version"] == ABOUT["version"]


def test_the_version_needs_no_torch():
    program = "import sys, ganatomy; assert ganatomy.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_types_are_marked():
    assert (Path(ganatomy.__file__).parent / "py.typed").exists()


def test_every_address_of_the_repository_is_that_of_pyproject():
    home = ABOUT["urls"]["Repository"]
    owner_and_name = home.removeprefix("https://github.com/")
    assert CITATION["repository-code"] == home
    found = re.compile(r"https://(?:raw\.githubusercontent|github)\.com/([\w.-]+/ganatomy)\b")
    for path in [ROOT / "pyproject.toml", *ROOT.glob("*.md"), *(ROOT / ".github").rglob("*")]:
        if path.is_file():
            assert set(found.findall(path.read_text())) <= {owner_and_name}, path


def test_links_of_the_documents_lead_to_files():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(documents) > 10
    for document in documents:
        targets = [t.partition("#")[0] for t in LINK.findall(document.read_text()) if not t.startswith(("http", "#"))]
        dead = [t for t in targets if t and not (document.parent / t).exists()]
        assert not dead, document


def test_the_package_page_has_absolute_links_only():
    page = (ROOT / "README.md").read_text()
    before = LINK.findall(page)
    for rule in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        page = re.sub(rule["pattern"], rule["replacement"].replace("$HFPR_VERSION", ABOUT["version"]), page)
    after = LINK.findall(page)
    assert len(after) == len(before) > 10
    for one, absolute in zip(before, after, strict=True):
        assert absolute.endswith(one)
        assert absolute.startswith(("https://", "#"))
        if one.endswith(".png"):
            assert absolute.startswith("https://raw.githubusercontent.com/")


def _flatten(group):
    groups = PROJECT["dependency-groups"]
    for one in groups[group]:
        yield from [one] if isinstance(one, str) else _flatten(one["include-group"])


def test_the_group_of_developers_has_every_extra():
    extras = ABOUT["optional-dependencies"]
    everything = extras["all"][0].removeprefix("ganatomy[").removesuffix("]").split(",")
    assert set(everything) == set(extras) - {"all"}
    assert not {one for name in everything for one in extras[name]} - set(_flatten("dev"))


def test_no_module_needs_a_package_of_an_extra_to_be_imported():
    """But the two ways to an archive and the trackers, which are imported when one is asked for."""
    program = (
        f"import sys, pkgutil, importlib, ganatomy\nsys.modules |= dict.fromkeys({OPTIONAL})\n"
        "trackers = ['ganatomy.training.tracking.' + name for name in ('tensorboard', 'mlflow', 'wandb')]\n"
        "ways = 'ganatomy.dicom.association', 'ganatomy.dicom.dicomweb', 'ganatomy.__main__', *trackers\n"
        "for one in pkgutil.walk_packages(ganatomy.__path__, 'ganatomy.'):\n"
        "    if one.name not in ways: importlib.import_module(one.name)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_container_takes_no_data_and_shows_no_port_but_on_loopback():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    taken = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert taken == {"pyproject.toml", "README.md", "LICENSE", "src"}
    recipe = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in recipe if line.startswith("USER")] == ["USER 10001:10001"]
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_workflows_know_every_python_that_the_package_claims():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    claimed = {c.rpartition(" ")[2] for c in ABOUT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)}
    assert set(jobs["newest"]["strategy"]["matrix"]["python"]) == claimed
    assert ABOUT["requires-python"] == f">={min(claimed, key=lambda v: int(v[2:]))}"


def test_every_action_has_a_version():
    uses = re.compile(r"uses: (\S+)")
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        actions = uses.findall(workflow.read_text())
        assert actions
        assert all(re.search(r"@(v\d+(\.\d+)*|[0-9a-f]{40})$", action) for action in actions), workflow
