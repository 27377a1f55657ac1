"""The blocks of code of the documents, the commands in them, and what the real command line makes of a command."""

import functools
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from tyro.extras import SubcommandApp

from ganatomy import cli
from ganatomy.cli import main
from ganatomy.cli.app import commands

ROOT = Path(__file__).resolve().parents[2]
DIRECTIVE = re.compile(r"\{([\w-]+)\}")
ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
VARIABLE = re.compile(r"\$\w+")  # of the shell; those of our pages stand for the number of a task


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: its path below the root of the project.
        line: line of the fence.
        language: ``shell``, ``python``, ``text`` and so on; of a directive its name in braces; empty if none is given.
        text: what is between the fences.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def list_pages(root: Path = ROOT) -> list[Path]:
    """List the documents of the project: Markdown at the top and everything below docs."""
    return sorted([*root.glob("*.md"), *(p for p in (root / "docs").rglob("*.md") if "_build" not in p.parts)])


def read_blocks(page: Path, root: Path = ROOT) -> list[Block]:
    """Read the blocks of a page, fenced or indented, in their order."""
    tokens = MarkdownIt().parse(page.read_text())
    name = page.relative_to(root).as_posix()
    return [
        Block(name, token.map[0] + 1, (token.info.split() or [""])[0], token.content)
        for token in tokens
        if token.type in ("fence", "code_block")
    ]


def is_file(block: Block) -> re.Match[str] | None:
    """Match a block that is the content of a file: its first line is a comment with the file's name."""
    return re.match(r"# (\S+\.(?:py|yaml|csv))\n", block.text)


def split_cell(block: Block) -> tuple[str, str]:
    """Split a cell of a notebook: its shell commands (lines that begin with !), and its Python with `pass` for them."""
    shell = [line.strip()[1:] for line in block.text.splitlines() if line.strip().startswith("!")]
    return "\n".join(shell), re.sub(r"^(\s*)!.*$", r"\1pass", block.text, flags=re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Args:
        block: where it stands.
        words: the command as the shell would divide it, without comments and assignments before it.
    """

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}: {shlex.join(self.words)}"

    @property
    def arguments(self) -> list[str] | None:
        """The words after ``ganatomy``, also behind a launcher; None if another program is called."""
        words = list(self.words)
        if words[:2] == ["sbatch", "examples/slurm.sh"]:
            return ["train", *words[2:]]
        if words[:2] == ["sh", "examples/until_done.sh"]:
            words = words[2:]
        if words[0] == "torchrun" and "ganatomy" in words and words[words.index("ganatomy") - 1] == "-m":
            words = words[words.index("ganatomy") :]
        return words[1:] if words[0] == "ganatomy" else None


def list_commands(block: Block) -> Iterator[Command]:
    """List the commands of a block of the shell; a line that ends with a backslash goes on in the next one."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        if words:
            yield Command(block, tuple(words))


@dataclass
class Parsed:
    """What the parser has made of a command: the verb and its arguments by name."""

    verb: str = ""
    given: dict[str, Any] | None = None


def parse_command(arguments: list[str], monkeypatch: Any) -> Parsed:
    """Give arguments to the real command line, whose verbs do nothing but tell what they were given.

    Raises:
        AssertionError: the parser refuses them.
    """
    parsed = Parsed()

    def record(name: str, verb: Any) -> Any:
        @functools.wraps(verb)
        def told(*args: Any, **kwargs: Any) -> None:
            bound = inspect.signature(verb).bind(*args, **kwargs)
            bound.apply_defaults()
            parsed.verb, parsed.given = name, dict(bound.arguments)

        return told

    with monkeypatch.context() as patch:
        recorder = SubcommandApp()
        for name in {arguments[0], *list(commands)[:2]} & {*commands}:  # a parser needs two verbs
            recorder.command(name=name)(record(name, commands[name]))
        patch.setattr(cli, "app", recorder)
        try:
            code = main([VARIABLE.sub("3", word) for word in arguments])
        except SystemExit as left:  # the parser has printed what is wrong, or the help that was asked for
            code = left.code
            if code == 0:
                parsed.verb, parsed.given = arguments[0], {}
    assert code == 0
    assert parsed.given is not None
    return parsed
