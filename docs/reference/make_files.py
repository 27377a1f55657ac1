"""Write docs/reference/files.md: every module with the first line of its docstring, as a test compares it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "ganatomy"
HEAD = """# The files

Every module of the package, room by room, with the first line of its docstring. Made by `python docs/reference/make_files.py`.
"""


def summary(module: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n")[0]


def table() -> str:
    """The page: one table a room, the package itself first."""
    rooms = sorted({path.parent for path in SOURCE.rglob("*.py")})
    lines = [HEAD]
    for room in rooms:
        name = room.relative_to(ROOT / "src").as_posix()
        lines += [f"## `{name}/`", "", summary(room / "__init__.py"), "", "| file | what it holds |", "|---|---|"]
        modules = sorted(path for path in room.glob("*.py") if path.name != "__init__.py")
        lines += [f"| `{path.name}` | {summary(path)} |" for path in modules] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(__file__).with_name("files.md").write_text(table())
