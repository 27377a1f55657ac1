"""What the verbs share: the application, and options that several have."""

from typing import Annotated

from tyro.conf import UseAppendAction, arg
from tyro.extras import SubcommandApp

app = SubcommandApp()
command_arguments: list[str] = []  # the words of the command in hand, for what begins it again in several processes

Quiet = Annotated[bool, arg(help="no progress and no messages", help_behavior_hint="")]
DryRun = Annotated[bool, arg(help="say what would be done and do nothing", help_behavior_hint="")]
Pairs = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")]
ShapeText = Annotated[
    str | None, arg(metavar="H,W | D,H,W", help="voxels per axis instead of the recipe's or the modality's own")
]
