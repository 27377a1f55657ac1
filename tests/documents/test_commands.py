"""Every block of code of the documents is of a kind that can be checked, and the real parser accepts its commands.

A page has blocks of the shell, of Python, of YAML, of text, and what Sphinx reads. Commands of ganatomy are given to
the real command line, recipes with their changes are built, and other programs are looked up where they come from.
`test_pages.py` executes what can be executed in seconds.
"""

import ast
import re
import tomllib
from dataclasses import replace

import pytest
import yaml
from pages import ROOT, Command, is_file, list_commands, list_pages, parse_command, read_blocks, split_cell

from ganatomy.cli.options import join_changes, join_pairs
from ganatomy.errors import Refused
from ganatomy.library.recipe import build_recipe
from ganatomy.modalities.table import get_modality
from ganatomy.recipes import RECIPES
from ganatomy.recipes.changes import read_recipe

PAGES = list_pages()
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
SHELL, PYTHON, YAML, CELL = "shell", "python", "yaml", "{code-cell}"
OF_SPHINX = {"{toctree}", "{include}", "{literalinclude}", "{eval-rst}"}
LANGUAGES = {SHELL, PYTHON, YAML, CELL, "text", *OF_SPHINX}
FORMATS = {"png", "nifti", "npy", "dicom", "hanging", "pacs", "dicomweb"}  # values of --to
DICTIONARIES = ("condition", "fact", "column", "samples", "beside", "match")  # options of the form NAME=VALUE
OTHER_PROJECTS = {"exiftool", "dcmsign", "c2patool"}  # readers of marks, which docs/marking.md names


def _check_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [name for word in words for name in re.findall(r"\[(.*)\]", word)]
    assert words[1] == "install"
    assert {name for one in asked for name in one.split(",")} <= set(extras)
    if words[2] == "--group":
        assert set(words[3:]) <= set(project["dependency-groups"])
    else:
        assert all(re.match(r"(\.|ganatomy)(\[|$)", word) for word in words[2:]), "installs another package"


def _check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE) for word in words[1:])


def _check_script(words: list[str]) -> None:
    """The script is in the project, or a file of the page, and knows the options."""
    script = ROOT / words[1]
    text = (
        script.read_text()
        if script.is_file()
        else next(b.text for b in BLOCKS if (f := is_file(b)) and f[1] == words[1])
    )
    assert all(f'"{word}"' in text for word in words[2:] if word.startswith("--"))


def _check_torchrun(words: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    get_args_parser().parse_args(words[1:])


def _check_compose(words: list[str]) -> None:
    assert (ROOT / {"build": "Dockerfile", "compose": "compose.yaml"}[words[1]]).is_file()


def _check_export(words: list[str]) -> None:
    assert re.fullmatch(r"(GANATOMY|MLFLOW|WANDB|OMP)_\w+=.+", words[1]), words
    name = words[1].partition("=")[0]
    assert any(name in path.read_text() for path in (ROOT / "src").rglob("*.py"))


def _check_converter(words: list[str]) -> None:
    assert (ROOT / words[1]).is_file()
    assert len(words) == 3


PROGRAMS = {
    "pip": _check_pip,
    "make": _check_make,
    "python": _check_script,
    "bash": _check_script,
    "sh": _check_script,
    "sbatch": _check_script,
    "torchrun": _check_torchrun,
    "docker": _check_compose,
    "export": _check_export,
    "mystnb-to-jupyter": _check_converter,
    **dict.fromkeys(OTHER_PROJECTS, lambda words: None),
}


def check_command(command: Command, monkeypatch) -> None:
    """Check a command: the parser takes it, and values that are words of ours exist.

    Raises:
        AssertionError: it is neither.
    """
    program, arguments = command.words[0], command.arguments
    assert program == "ganatomy" or program in PROGRAMS, "no test knows this program"
    if program != "ganatomy":
        PROGRAMS[program](list(command.words if arguments is None or program == "torchrun" else command.words[:2]))
    if arguments is None or arguments == ["--version"]:
        return
    if arguments == ["--help"]:
        return
    parsed = parse_command(arguments, monkeypatch)
    given = parsed.given or {}
    for name in DICTIONARIES:
        if isinstance(given.get(name), tuple) and "train" not in arguments:
            join_pairs(given[name], f"--{name}")
    if (modality := given.get("modality")) and "collection" not in given:
        get_modality(modality)
    if parsed.verb in ("sample", "export") and given["to"]:
        assert given["to"] in FORMATS
    shape, changes = given.get("shape"), join_changes(given.get("set_", ()))
    if given.get("recipe") in RECIPES:
        build_recipe(given["recipe"], None, changes, shape, given.get("tiny", False), given.get("pace", 1))
    elif given.get("recipe") and given.get("recipe_file") is None:
        assert re.fullmatch(r"[A-Z]+", given["recipe"]), "no recipe has this name"


def list_page_commands(blocks) -> list[Command]:
    """List the commands of blocks of the shell and of cells of notebooks."""
    shell = [block for block in blocks if block.language == SHELL]
    cells = [replace(block, text=split_cell(block)[0]) for block in blocks if block.language == CELL]
    return [command for block in (*shell, *cells) for command in list_commands(block)]


COMMANDS = list_page_commands(BLOCKS)


def test_every_block_says_what_it_is():
    assert len(BLOCKS) > 80
    assert not [f"{block}: {block.language!r}" for block in BLOCKS if block.language not in LANGUAGES]


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_the_parser_accepts_every_command(command, monkeypatch, capsys):
    check_command(command, monkeypatch)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in (PYTHON, CELL)], ids=str)
def test_python_of_every_block_compiles(block):
    ast.parse(block.text if block.language == PYTHON else split_cell(block)[1], str(block))


def test_every_yaml_block_is_a_recipe(tmp_path):
    for block in (block for block in BLOCKS if block.language == YAML):
        file = tmp_path / is_file(block)[1]
        file.write_text(block.text)
        assert read_recipe(file, {name: make() for name, make in RECIPES.items()}).shape == tuple(
            yaml.safe_load(block.text)["shape"]
        )


WRONG = [
    ("ganatomy sample RUN --condtion view_position=MLO", "Unrecognized options"),
    ("ganatomy smaple RUN", "smaple"),
    ("ganatomy sample RUN --n many", "many"),
    ("ganatomy train pggan-mamogram STORE", "no recipe has this name"),
    ("ganatomy train hagan STORE --set strategy.bach_size=8", "did you mean"),
    ("ganatomy train pggan-mammogram STORE --shape 81,64", "even"),
    ("ganatomy prepare RAW --modality knee --out STORE", "knee"),
    ("ganatomy export SAMPLES --to gif --out DIR", "gif"),
    ("torchrun --nodes-of 2 -m ganatomy train hagan STORE", "nodes-of"),
    ("sbatch examples/slurm.sh hagan STORE --chekpoint-kimg 3", "Unrecognized"),
    ("pip install 'ganatomy[paks]'", "paks"),
    ("make demmo", ""),
    ("python benchmarks/none.py OUT", ""),
    ("python benchmarks/number_conditions.py OUT --waht lung", ""),
    ("rm -r STORE", "no test knows this program"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_a_wrong_line_of_a_page_is_found(line, words, tmp_path, monkeypatch, capsys):
    """A page like the others, with a wrong line in it."""
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n1. A step:\n\n   ```shell\n   {line}      # a comment\n   ```\n")
    commands = list_page_commands(read_blocks(page, tmp_path))
    assert len(commands) == 1
    with pytest.raises((AssertionError, Refused, SystemExit, StopIteration)) as told:
        check_command(commands[0], monkeypatch)
    printed = capsys.readouterr()
    assert words in f"{told.value}{printed.out}{printed.err}"


def test_a_block_without_a_language_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```\nganatomy recipes\n```\n\nand\n\n    ganatomy recipes\n")
    assert [block.language in LANGUAGES for block in read_blocks(page, tmp_path)] == [False, False]
