"""Who an image is of, and how that was told. This identifies persons: only keyed pseudonyms of it are stored."""

from typing import NamedTuple

TABLE, PATIENT_ID, BIDS = "patient of the table", "Patient ID", "BIDS subject"
STUDY, FOLDER, FILE = "Study Instance UID", "folder", "file"


class Person(NamedTuple):
    """A person, as far as the sources tell.

    Args:
        key: the name that tells this person from others.
        told_by: which source gave it, one of the names of this module.
        issuer: who gave the name, where the source says so: Issuer of Patient ID (0010,0021).
    """

    key: str
    told_by: str
    issuer: str = ""

    @property
    def identity(self) -> str:
        """The name with its issuer. The split depends on it, so its form never changes."""
        return f"{self.issuer}/{self.key}" if self.told_by == PATIENT_ID else self.key


def choose_person(told: str, otherwise: Person) -> Person:
    """Choose the person that a table names, else that of the file itself."""
    return Person(told, TABLE) if told else otherwise
