"""Interface of a modality's DICOM objects: the instances made from a sample, and the values that they store."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write
from ganatomy.errors import Refused, refuse_name
from ganatomy.imaging.image import Image


@dataclass(frozen=True)
class DicomForm:
    """The options of DICOM objects made from samples.

    Args:
        enhanced: write a volume as one multi-frame instance instead of one instance per slice.
        secondary_capture: write Secondary Capture objects, for archives that refuse the modality's own objects.
        compress: lossless compression, ``rle``, ``jpeg-ls`` or ``jpeg2000``; None = not compressed.

    Raises:
        Refused: the compression is unknown, or both kinds of object are requested.
    """

    enhanced: bool = False
    secondary_capture: bool = False
    compress: str | None = None

    def __post_init__(self) -> None:
        if self.compress is not None and self.compress not in write.COMPRESSIONS:
            raise refuse_name(
                f"--compress {self.compress}: there is no such compression", self.compress, write.COMPRESSIONS
            )
        if self.enhanced and self.secondary_capture:
            raise Refused("--enhanced and --secondary-capture are two kinds of object; give one.")


PLAIN_FORM = DicomForm()


class InstanceMaker(Protocol):
    """Makes the instances of one sample after another, each with the path of its file."""

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        """Make the instances of one sample.

        Args:
            shown: the image in its own values (grey values in [0, 1], HU), oriented as displayed.
            record: the record of the sample.
        """
        ...


class DicomKind(Protocol):
    """The DICOM objects of a modality."""

    def make_instances(self, form: DicomForm, date: str) -> InstanceMaker:
        """Return the function that makes instances from samples.

        Args:
            form: the options of the objects.
            date: date of the studies as YYYYMMDD.

        Raises:
            Refused: the modality does not have the requested object.
        """
        ...

    def quantise_sample(self, shown: Image) -> NDArray[np.uint16]:
        """Quantise a sample to the values that all of these instances store."""
        ...


def get_spacing(shown: Image, purpose: str) -> tuple[float, ...]:
    """Return the spacing of a sample in millimetres.

    Args:
        purpose: what needs the spacing, for the message.

    Raises:
        Refused: the sample has no spacing.
    """
    if shown.spacing is None:
        raise Refused(f"{purpose} needs the spacing and the training images had none; write NPY, or give --spacing.")
    return shown.spacing


def refuse_enhanced(form: DicomForm, noun: str) -> None:
    """Refuse a multi-frame object for a modality of single images.

    Args:
        noun: the modality's image, such as ``mammogram``.
    """
    if form.enhanced:
        raise Refused(f"--enhanced is for CT and MR volumes; a {noun} is one image.")


def apply_compression(ds: Dataset, form: DicomForm) -> Dataset:
    """Compress the data set if the options require it."""
    return write.compress_dataset(ds, form.compress) if form.compress else ds


def make_subject(number: int, record: dict[str, Any], date: str) -> write.Subject:
    """Make subject `number` of a snapshot and seed; the mark distinguishes subjects of different models."""
    run = json.dumps([record["snapshot_sha256"], record["seed"], record.get("truncation")])
    return write.Subject(number, "SYNTHETIC", run, date, hashlib.sha256(run.encode()).hexdigest()[:8])
