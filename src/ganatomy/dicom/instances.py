"""What a modality says of its DICOM side: the instances that a sample becomes, and the values that they store."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image


@dataclass(frozen=True)
class DicomForm:
    """What a sample becomes in DICOM.

    Args:
        enhanced: a volume becomes one instance of many frames, not one a slice.
        secondary_capture: pictures, for archives that refuse the modality's own object.
        compress: None, or ``rle``, ``jpeg-ls``, ``jpeg2000``; all without loss.

    Raises:
        Refused: an unknown compression, or both kinds of object.
    """

    enhanced: bool = False
    secondary_capture: bool = False
    compress: str | None = None

    def __post_init__(self) -> None:
        if self.compress is not None and self.compress not in write.COMPRESSIONS:
            raise Refused(f"--compress {self.compress}: there are {', '.join(write.COMPRESSIONS)}.")
        if self.enhanced and self.secondary_capture:
            raise Refused("--enhanced and --secondary-capture are two kinds of object; give one.")


PLAIN_FORM = DicomForm()


class InstanceMaker(Protocol):
    """The instances of one sample after another, each with the path that its file would have."""

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        """One by one.

        Args:
            shown: in its own values (grey [0, 1], HU), as displayed.
            record: how it was made.
        """
        ...


class DicomKind(Protocol):
    """The DICOM side of a modality."""

    def make_instances(self, form: DicomForm, date: str) -> InstanceMaker:
        """What turns samples into instances.

        Args:
            date: YYYYMMDD of the studies.

        Raises:
            Refused: the modality has no such object.
        """
        ...

    def quantise_sample(self, shown: Image) -> NDArray[np.uint16]:
        """The values that any of these instances stores of a sample."""
        ...


def get_spacing(shown: Image, purpose: str) -> tuple[float, ...]:
    """The spacing of a sample in millimetres.

    Args:
        purpose: what needs it, for the message.

    Raises:
        Refused: there is none.
    """
    if shown.spacing is None:
        raise Refused(f"{purpose} needs the spacing and the training images had none; write NPY, or give --spacing.")
    return shown.spacing


def refuse_enhanced(form: DicomForm, noun: str) -> None:
    """Refuse an object of many frames for a modality of single images.

    Args:
        noun: the modality's image in words, such as ``mammogram``.
    """
    if form.enhanced:
        raise Refused(f"--enhanced is for CT and MR volumes; a {noun} is one image.")


def apply_compression(ds: Dataset, form: DicomForm) -> Dataset:
    """The data set, compressed if the form says so."""
    return write.compress_dataset(ds, form.compress) if form.compress else ds


def make_subject(number: int, record: dict[str, Any], date: str) -> write.Subject:
    """Subject `number` of a snapshot and seed; the mark keeps those of two models apart in an archive."""
    run = json.dumps([record["snapshot_sha256"], record["seed"], record.get("truncation")])
    return write.Subject(number, "SYNTHETIC", run, date, hashlib.sha256(run.encode()).hexdigest()[:8])
