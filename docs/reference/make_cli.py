"""Write docs/reference/cli.txt: the help of every verb, as a test compares it."""

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
