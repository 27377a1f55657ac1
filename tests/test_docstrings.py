"""Every name that a docstring lists under `Args:` is an argument or a field of what the docstring describes."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest

import ganatomy

MODULES = sorted(m.name for m in pkgutil.walk_packages(ganatomy.__path__, "ganatomy.") if m.name != "ganatomy.__main__")
ENTRY = re.compile(r"\*{0,2}\w+(?:, \*{0,2}\w+)*(?: \([^)]*\))?:(?= |$)")


def find_described(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the object of every function, class and method that `module` defines."""
    for name, thing in vars(module).items():
        thing = inspect.unwrap(thing) if callable(thing) else thing
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield name, thing
        if inspect.isclass(thing):
            yield name, thing
            for member, value in vars(thing).items():
                function = getattr(value, "__func__", None) or getattr(value, "func", None) or value
                if inspect.isfunction(inspect.unwrap(function)):
                    yield f"{name}.{member}", inspect.unwrap(function)


def list_arguments(text: str | None) -> list[str]:
    """Return the names that the section `Args:` of a docstring lists, without stars."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n(?=[ ]))+)", inspect.cleandoc(text or ""), re.MULTILINE)
    if not section:
        return []
    lines = section[1].splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    entries = [line.strip() for line in lines if len(line) - len(line.lstrip()) == indent]
    return [name.lstrip("*") for entry in entries for name in re.split(r"[:(]", entry)[0].strip().split(", ")]


def find_accepted(thing: Any) -> set[str]:
    """Return the names of the arguments of a function, or of the fields and constructor arguments of a class."""
    if isinstance(thing, FunctionType):
        return set(inspect.signature(thing).parameters)
    accepted: set[str] = set()
    for base in thing.__mro__[:-1]:
        accepted.update(inspect.get_annotations(base))
        if isinstance(vars(base).get("__init__"), FunctionType):
            accepted.update(inspect.signature(vars(base)["__init__"]).parameters)
    return accepted


def find_stale(module: Any) -> list[str]:
    """Return the names under `Args:` in the docstrings of `module` that stand for no argument and no field."""
    return [
        f"{module.__name__}.{name}: {argument}"
        for name, thing in find_described(module)
        for argument in list_arguments(thing.__doc__)
        if argument not in find_accepted(thing)
    ]


@pytest.mark.parametrize("name", MODULES)
def test_arguments_in_docstrings_exist(name):
    assert not find_stale(importlib.import_module(name))
