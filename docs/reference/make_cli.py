"""Write docs/reference/cli.txt, the help of every verb, which a test compares, and the sections of cli.md that show it."""

import contextlib
import io
import os
import re
from pathlib import Path

os.environ["COLUMNS"] = "100"

from ganatomy.cli import main
from ganatomy.cli.app import commands

texts = []
for verb in commands:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([verb, "--help"])
    texts.append(re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()))
Path(__file__).with_name("cli.txt").write_text("\n".join(texts))

page = Path(__file__).with_name("cli.md")
sections = [page.read_text().partition("\n## ")[0]]
for verb, following in zip(commands, [*list(commands)[1:], None], strict=True):
    end = "" if following is None else f':end-before: "usage: ganatomy {following} "\n'
    shown = f':language: text\n:start-at: "usage: ganatomy {verb} "\n{end}'
    sections.append(f"\n## `ganatomy {verb}`\n\n```{{literalinclude}} cli.txt\n{shown}```\n")
page.write_text("".join(sections))
