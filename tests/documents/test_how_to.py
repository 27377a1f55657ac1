"""How-to guides have the same sections, and the sentences that they quote are those of the program."""

import ast
import re

import pytest
from pages import ROOT

GUIDES = sorted(path for path in (ROOT / "docs" / "how-to").glob("*.md") if path.name != "index.md")
SECTIONS = ["When", "Steps", "Usual failures"]
BLANK = "\0"  # stands for what a sentence is filled with


def _read_texts(path):
    """Every text of a module, with BLANK for each value that is filled in; adjacent texts are one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else BLANK for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def texts():
    return "\n".join(text for path in (ROOT / "src").rglob("*.py") for text in _read_texts(path))


def list_quotations(guide):
    """The sentences in the first column of the table of failures; three dots stand for what is filled in."""
    rows = re.findall(r"^\| (`.*?) \|", guide.partition("## Usual failures")[2], re.MULTILINE)
    return [quoted for row in rows for quoted in re.findall(r"`([^`]+)`", row)]


def find_missing(quotation, texts):
    """The parts of a quotation that no text of the program has."""
    parts = [part.strip(" ") for part in quotation.split("...")]
    return [part for part in parts if len(part.strip(".,;:() ")) > 2 and part not in texts]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_has_trigger_steps_and_failures(guide):
    assert re.findall(r"^## (.*)$", guide.read_text(), re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_sentences_are_those_of_the_program(guide, texts):
    quotations = list_quotations(guide.read_text())
    assert len(quotations) > 3
    assert not [missing for quotation in quotations for missing in find_missing(quotation, texts)]


def test_another_sentence_is_found(texts):
    guide = (
        "## Usual failures\n\n| says | do |\n|---|---|\n| `Training exploded at ... kimg: ... is not finite.` | x |\n"
    )
    assert [find_missing(one, texts) for one in list_quotations(guide)] == [["Training exploded at"]]


def test_the_index_lists_every_guide():
    index = (ROOT / "docs" / "how-to" / "index.md").read_text()
    assert all(f"]({guide.name})" in index for guide in GUIDES)
