"""Decisions about the samples of a folder, one a sample: accepted or rejected by a person who has looked at them.

{"format": 1, "index_sha256": "...", "decisions": {"0000-000003.png": "accept", "0000-000004.png": "reject"}}
"""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ganatomy.config import Config, explain_validation_error
from ganatomy.errors import Refused
from ganatomy.machine.durable import compute_sha256, read_json, write_json

Decision = Literal["accept", "reject"]


class Decisions(Config):
    """The decisions about the samples of a folder.

    Args:
        format: of the file.
        index_sha256: SHA-256 of the index of the folder; samples that were drawn again need new decisions.
        decisions: by the name of a sample's file; samples about which nothing was decided are absent.
    """

    format: Literal[1] = 1
    index_sha256: str
    decisions: dict[str, Decision]

    @property
    def accepted(self) -> frozenset[str]:
        """The files of the samples that were accepted."""
        return frozenset(name for name, decision in self.decisions.items() if decision == "accept")


def make_decisions(index: Path, decisions: dict[str, Decision]) -> Decisions:
    """Make the decisions about the samples of an index, ``samples.jsonl``."""
    return Decisions(index_sha256=compute_sha256(index), decisions=decisions)


def write_decisions(file: Path, decisions: Decisions) -> None:
    """Write decisions; the file is complete or as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, decisions.model_dump(mode="json"))


def read_decisions(file: Path, index: Path) -> Decisions:
    """Read the decisions about the samples of an index, ``samples.jsonl``.

    Raises:
        Refused: the file has no decisions, or they are about other samples.
    """
    try:
        found = Decisions.model_validate(read_json(file))
    except ValidationError as error:
        why = explain_validation_error(error, Decisions)
        raise Refused(
            f"{file} has no decisions about samples ({why}); ganatomy studio {index.parent} makes them."
        ) from error
    if found.index_sha256 != compute_sha256(index):
        raise Refused(
            f"The decisions of {file} are about other samples than those of {index.parent}, or about an earlier state"
            " of that folder; decide again, or give their folder."
        )
    return found
