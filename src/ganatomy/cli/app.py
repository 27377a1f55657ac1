"""The command-line application and the options that several commands share."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg
from tyro.extras import SubcommandApp

from ganatomy.machine.places import check_writable, hold_output
from ganatomy.machine.progress import heartbeat

app = SubcommandApp()
command_arguments: list[str] = []  # the words of the command in hand, for what begins it again in several processes

Quiet = Annotated[bool, arg(help="print no progress and no messages", help_behavior_hint="")]
DryRun = Annotated[bool, arg(help="print what would be done without doing it", help_behavior_hint="")]
Pairs = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")]
ShapeText = Annotated[
    str | None,
    arg(
        metavar="H,W | D,H,W", help="number of pixels or voxels per axis; by default that of the recipe or the modality"
    ),
]

Given = Mapping[str, Any]  # a command's arguments by name
Verb = Callable[..., None]


def get_out(given: Given) -> Path | None:
    """The argument ``out``."""
    return given.get("out")


def is_alone(given: Given) -> bool:
    """A command is alone in its place unless it says otherwise."""
    return True


def command(
    name: str | None = None,
    place: Callable[[Given], Path | None] = get_out,
    folder: bool = True,
    alone: Callable[[Given], bool] = is_alone,
    heard: bool = False,
) -> Callable[[Verb], Verb]:
    """Make a function a sub-command that looks whether its place can be written before it begins to work.

    Args:
        name: of the sub-command; None = that of the function.
        place: where it writes; None = nowhere.
        folder: whether that is a folder or a file.
        alone: whether another command may not write there meanwhile.
        heard: whether it tells every few seconds that it is at work.
    """

    def decorate(verb: Verb) -> Verb:
        @functools.wraps(verb)
        def run(*args: Any, **kwargs: Any) -> None:
            bound = inspect.signature(verb).bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            where = None if given["dry_run"] else place(given)
            with contextlib.ExitStack() as around:
                if where is not None:
                    check_writable(where, folder)
                    if alone(given):
                        around.enter_context(hold_output(where))
                if heard:
                    around.enter_context(heartbeat(f"{verb.__name__}: at work"))
                verb(*args, **kwargs)

        app.command(name=name)(run)
        return verb

    return decorate
