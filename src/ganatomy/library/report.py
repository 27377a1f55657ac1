"""A report that was opened: its verdicts, its scores and the whole of its content."""

from collections.abc import Mapping
from os import fspath
from pathlib import Path
from typing import Any

from ganatomy.errors import Refused
from ganatomy.exporting.write_card import REPORT_FILE
from ganatomy.machine.durable import read_json

PAGE_FILE = "report.html"


class Report:
    """The report of an evaluation. ``report["swd"]`` is a part of ``report.json``.

    Args:
        path: its folder.

    Raises:
        Refused: its file is damaged, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: Mapping[str, Any] = read_json(path / REPORT_FILE)  # all of report.json
        if not {"compared", "scores", "privacy"} <= self.content.keys():
            raise Refused(f"{path / REPORT_FILE} is no report of an evaluation; make one with: ganatomy evaluate.")

    def __fspath__(self) -> str:
        return fspath(self.path)

    def __getitem__(self, part: str) -> Any:
        return self.content[part]

    def __repr__(self) -> str:
        return f"<report of {self.content['compared']['images_a_side']} images a side in {self.path}>"

    @property
    def page(self) -> Path:
        """The page to read in a browser."""
        return self.path / PAGE_FILE

    @property
    def verdicts(self) -> dict[str, str]:
        """The answer to each question of the first screen; empty for a report of version 0.1.0."""
        return {one["question"]: one["answer"] for one in self.content.get("verdicts", [])}

    @property
    def scores(self) -> list[dict[str, Any]]:
        """The scores, each with its value, real-against-real floor, interval, definition and counts."""
        return list(self.content["scores"])

    @property
    def passed_audit(self) -> bool | None:
        """Whether the privacy audit was passed; None = it could not be made."""
        return self.content["privacy"]["passed"]
