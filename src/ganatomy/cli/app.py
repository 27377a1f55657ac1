"""The command-line application and the options that several commands share."""

from typing import Annotated

from tyro.conf import UseAppendAction, arg
from tyro.extras import SubcommandApp

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
