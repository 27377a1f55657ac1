"""What tyro says of words that it cannot parse, as one sentence like every other refusal."""

import contextlib
import io
import re
import sys
from collections.abc import Iterator

from ganatomy.errors import Refused

HELP = ("Argument helptext:", "For full helptext, see ")  # the latter names no command, unlike "run ... --help"
REFUSED = re.compile(r"^Error parsing (--[\w-]+): ")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_parsing: list[contextlib.ExitStack] = []  # holds standard error while the words of a command are parsed


@contextlib.contextmanager
def refuse_wrong_words() -> Iterator[None]:
    """Within the block, turn the box that tyro prints about wrong words into a refusal; see `end_parsing`.

    Raises:
        Refused: tyro has refused the words.
    """
    told = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(told))
        _parsing.append(stack)
        try:
            yield
        except SystemExit as end:
            end_parsing()
            if end.code == Refused.exit_code and (words := join_box(told.getvalue())):
                raise Refused(words) from None
            raise
        finally:
            end_parsing()
    sys.stderr.write(told.getvalue())


def end_parsing() -> None:
    """Give standard error back; a command calls this before it begins."""
    while _parsing:
        _parsing.pop().close()


def join_box(box: str) -> str:
    """Join the lines within a drawn box, with or without a frame; a rule in the box ends a sentence.

    The help text of an option that has been refused is left out, since the sentence of its type says what is accepted.

    Example:
        >>> join_box("╭─ Wrong ──╮\\n│ No option │\\n│ --a       │\\n│ ───────── │\\n│ Run -h    │\\n╰──────────╯")
        'No option --a. Run -h.'
    """
    lines = [COLOUR.sub("", line).strip("│ ") for line in box.splitlines()[1:]]  # the first is the title
    kept = ["\n" if line.strip("─-") == "" else line for line in lines if line and not line.startswith("╰")]
    parts = [part.strip() for part in " ".join(kept).splitlines()]
    told = [REFUSED.sub(r"\1 ", part) for part in parts if part and not part.startswith(HELP)]
    return " ".join(part if part.endswith(".") else f"{part}." for part in told)
