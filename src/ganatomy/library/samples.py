"""A folder of samples that was opened: its images, read one by one as they are asked for."""

from collections.abc import Sequence
from functools import cached_property
from os import fspath
from pathlib import Path
from typing import Any, overload

from ganatomy.data.samples import AUDIT_FILE, READABLE_SUFFIXES, read_index, read_sample
from ganatomy.errors import Refused
from ganatomy.library.images import Images, SyntheticImage, describe_images
from ganatomy.machine.durable import read_json


class Samples(Sequence[SyntheticImage]):
    """The images of a folder that `ganatomy sample` has written. Indexing reads one file; a slice reads several.

    Args:
        path: the folder.

    Raises:
        Refused: the index of the folder is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = read_index(path)  # of the index, as they were written

    def __fspath__(self) -> str:
        return fspath(self.path)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<{len(self)} samples in {self.path}, {self.modality}>"

    @overload
    def __getitem__(self, place: int) -> SyntheticImage: ...
    @overload
    def __getitem__(self, place: slice) -> Images: ...
    def __getitem__(self, place: int | slice) -> SyntheticImage | Images:
        if isinstance(place, slice):
            return Images(self[i] for i in range(*place.indices(len(self))))
        return self._read(self.rows[place])

    @property
    def modality(self) -> str:
        """The name of their modality."""
        return str(self.rows[0]["modality"])

    @cached_property
    def audit(self) -> dict[str, Any] | None:
        """What the privacy audit of `ganatomy.evaluate` left beside them; None = there was none."""
        return read_json(self.path / AUDIT_FILE) if (self.path / AUDIT_FILE).exists() else None

    def _read(self, row: dict[str, Any]) -> SyntheticImage:
        """Read one image.

        Raises:
            Refused: it is DICOM, which is not read back, or its file is gone or damaged.
        """
        file = self.path / row["file"]
        if not row["file"].endswith(READABLE_SUFFIXES):
            raise Refused(
                f"{file} is DICOM, from which samples are not read back; open the folder of PNG, NPY or NIfTI samples"
                " that it was made from, or read it with pydicom."
            )
        if not file.is_file():
            raise Refused(f"{file} is named by the index of its folder and is not there; draw the samples again.")
        return next(describe_images([read_sample(self.path, row)], row["modality"]))
