"""Public verbs say what they take, give and refuse; their examples run; networks and losses name their papers."""

import doctest
import importlib
import inspect
import pkgutil
import re
import shutil

import pytest
import torch
from servers import service

import ganatomy
from ganatomy import networks, objectives
from ganatomy.config import Config
from ganatomy.networks.config import NetworkConfig
from ganatomy.objectives.adversarial_term import AdversarialTerm

LINE = (
    "prepare",
    "train",
    "import_weights",
    "select",
    "open",
    "sample",
    "encode",
    "evaluate",
    "export",
    "publish",
    "write_card",
    "write_croissant",
    "send",
    "verify",
)  # in this order
SECTIONS = ("Args", "Returns", "Raises", "Example")
BASES = (NetworkConfig, AdversarialTerm)  # what networks and terms have in common is of no paper
DOCUMENTED_ARCHIVE = "http://localhost:8042/dicom-web"  # of the example of `send`; the test has one of its own


def _read_section(verb, title):
    """The text below ``Title:`` up to the next section, without its indentation."""
    found = re.search(rf"^{title}:\n((?:(?:    .*)?\n)+)", inspect.getdoc(verb) + "\n", re.MULTILINE)
    return "" if found is None else inspect.cleandoc(found[1])


def _list_entries(section):
    """The names before the colons: ``date, spacing: as in export`` are two."""
    heads = re.findall(r"^(\w[\w, ]*):", section, re.MULTILINE)
    return [name.strip() for head in heads for name in head.split(",")]


def test_every_verb_has_its_place_in_the_line():
    assert {*LINE, "get_example_model"} == {name for name in ganatomy.__all__ if name.islower()}


@pytest.mark.parametrize("name", LINE)
def test_a_verb_says_what_it_takes_gives_and_refuses(name):
    verb = getattr(ganatomy, name)
    missing = [title for title in SECTIONS if not _read_section(verb, title)]
    assert not missing, f"{name} has no {', '.join(missing)}"
    assert _list_entries(_read_section(verb, "Args")) == list(inspect.signature(verb).parameters)
    for raised in _list_entries(_read_section(verb, "Raises")):
        error = getattr(inspect.getmodule(verb), raised)
        assert issubclass(error, Exception)
    examples = doctest.DocTestParser().get_examples(_read_section(verb, "Example"))
    assert any(re.search(rf"\b{name}\(", example.source) for example in examples)
    assert any(example.want for example in examples), f"the example of {name} shows no result"


def test_the_examples_of_the_verbs_run_in_the_order_of_the_line(cohort, tmp_path, monkeypatch):
    """All run in one folder, which has DICOM files of mammograms at the start; a verb finds what others have made."""
    torch.set_num_threads(1)  # the networks are too small for two to pay
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mammograms").symlink_to(cohort)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    runner = doctest.DocTestRunner(verbose=False)
    told = []
    with service() as archive:
        for name in LINE:
            text = inspect.getdoc(getattr(ganatomy, name)).replace(DOCUMENTED_ARCHIVE, archive.url)
            example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
            assert example.examples, name
            assert runner.run(example, out=told.append).failed == 0, "".join(told)
        assert len(archive.stored) == 4


CLASSES = ("Model", "StoreDataset", "SyntheticDataset", "MixedDataset")


def test_the_examples_of_the_classes_run(store, run, tmp_path, monkeypatch):
    """In a folder with a store and a run, as the verbs before have left them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(store.path, tmp_path / "store")
    shutil.copytree(run.path, tmp_path / "runs" / run.path.name)
    runner, told = doctest.DocTestRunner(verbose=False), []
    for name in CLASSES:
        example = doctest.DocTestParser().get_doctest(inspect.getdoc(getattr(ganatomy, name)), {}, name, None, 0)
        assert example.examples, name
        assert runner.run(example, out=told.append).failed == 0, "".join(told)


def _list_published_classes(package):
    """The public networks and losses that the modules of a package define."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for name, one in inspect.getmembers(module, inspect.isclass):
            own = one.__module__ == module.__name__ and not name.startswith("_") and one not in BASES
            if own and issubclass(one, (Config, torch.nn.Module)) and not issubclass(one, torch.nn.ModuleDict):
                yield one


@pytest.mark.parametrize("package", [networks, objectives], ids=lambda package: package.__name__)
def test_every_network_and_loss_begins_with_its_paper(package):
    heads = {one.__qualname__: inspect.getdoc(one).split("\n\n")[0] for one in _list_published_classes(package)}
    assert len(heads) > 12
    assert not [name for name, head in heads.items() if not re.search(r"[A-Z]\w+ (19|20)\d\d", head)]
