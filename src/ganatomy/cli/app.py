"""The command-line application: what every command does before its work."""

import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tyro.extras import SubcommandApp

from ganatomy.cli.wrong_words import end_parsing
from ganatomy.errors import Refused, refuse_name
from ganatomy.machine.places import check_writable, hold_output
from ganatomy.machine.progress import heartbeat

app = SubcommandApp()
command_arguments: list[str] = []  # of the current command, used to start it again in several processes

Given = Mapping[str, Any]  # arguments of a command by name
Verb = Callable[..., None]

commands: dict[str, Verb] = {}  # by name, in the order of --help


def answer(value: Any) -> None:
    """Print what a program reads of a command with --json, which says nothing else on standard output."""
    print(json.dumps(value, default=str))


def remove_flag(arguments: list[str], flag: str) -> list[str]:
    """Remove a flag and its value, given as one argument or two, from the arguments of a command."""
    kept, skip = [], False
    for word in arguments:
        if skip or word.startswith(f"{flag}="):
            skip = False
        elif word == flag:
            skip = True
        else:
            kept.append(word)
    return kept


def check_command_name(words: list[str]) -> None:
    """Check that the first word names a command, unless it is an option.

    Raises:
        Refused: it does not; the message names a similar one.
    """
    if words and not words[0].startswith("-") and words[0] not in commands:
        raise refuse_name(f"There is no command {words[0]!r}", words[0], list(commands))


def refuse_dry_answer(given: Given) -> None:
    """Refuse --json together with --dry-run, which has no answer."""
    if given.get("json") and given["dry_run"]:
        raise Refused("--json and --dry-run: a dry run has no answer for a program; give one of them.")


def get_out(given: Given) -> Path | None:
    """Return the argument ``out``."""
    return given.get("out")


def is_alone(given: Given) -> bool:
    """Return True: by default no other command may use the output of a command at the same time."""
    return True


def command(
    name: str | None = None,
    place: Callable[[Given], Path | None] = get_out,
    folder: bool = True,
    alone: Callable[[Given], bool] = is_alone,
    heard: bool = False,
) -> Callable[[Verb], Verb]:
    """Make a function a sub-command that tests whether its output can be written before it begins to work.

    Args:
        name: name of the sub-command; None = the name of the function.
        place: function of the arguments that returns the output path; None = there is no output.
        folder: whether the output is a folder or a file.
        alone: whether other commands are kept from writing there at the same time.
        heard: whether the command prints every few seconds that it is still running.
    """

    def decorate(verb: Verb) -> Verb:
        @functools.wraps(verb)
        def run(*args: Any, **kwargs: Any) -> None:
            bound = inspect.signature(verb).bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            end_parsing()
            refuse_dry_answer(given)
            where = None if given["dry_run"] else place(given)
            with contextlib.ExitStack() as around:
                if where is not None:
                    check_writable(where, folder)
                    if alone(given):
                        around.enter_context(hold_output(where))
                if heard:
                    around.enter_context(heartbeat(f"{verb.__name__}: at work"))
                verb(*args, **kwargs)

        commands[name or verb.__name__] = run
        app.command(name=name)(run)
        return verb

    return decorate
