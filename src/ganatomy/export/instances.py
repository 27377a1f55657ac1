"""From a sample to the DICOM instances that hold it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write, write_enhanced, write_mammogram, write_secondary, write_series
from ganatomy.dicom.volume_class import BITS, CT, MR
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image

VOLUMES = {"chest_ct": CT, "brain_mri": MR}


@dataclass(frozen=True)
class Form:
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


PLAIN = Form()


class Instances(Protocol):
    """The instances of one sample after another, each with the path that its file would have."""

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        """One by one.

        Args:
            shown: in its own values (grey [0, 1], HU), as displayed.
            record: how it was made.
        """
        ...


class Mammograms:
    """Digital Mammography X-Ray Image, or its picture: the k-th image of each view and laterality makes study k."""

    def __init__(self, form: Form, date: str) -> None:
        if form.enhanced:
            raise Refused("--enhanced is for CT and MR volumes; a mammogram is one image.")
        self.form, self.date = form, date
        self.studies: Counter[tuple[str, ...]] = Counter()

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        laterality, view = side(shown, "DICOM")
        rows, columns = known(shown, "DICOM")
        self.studies[laterality, view] += 1
        subject = _subject(self.studies[laterality, view], record, self.date)
        if self.form.secondary_capture:
            ds = write_secondary.instance(
                write_mammogram.stored(shown.pixels),
                write_mammogram.BITS,
                1,
                (laterality, view),
                subject,
                record,
                (rows, columns),
            )
            write_mammogram.captured(ds, view, laterality, subject)
        else:
            ds = write_mammogram.instance(shown.pixels, (rows, columns), view, laterality, subject, record)
        yield f"{subject.identifier}/{laterality}{view}.dcm", _finished(ds, self.form)


class Volumes:
    """A classic CT or MR series, an Enhanced instance, or pictures of slices; every volume is a study of its own."""

    def __init__(self, form: Form, date: str, modality: str) -> None:
        self.form, self.date, self.kind = form, date, VOLUMES[modality]

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        spacing = known(shown, "DICOM")
        subject = _subject(record["index"] + 1, record, self.date)
        if self.form.enhanced:
            ds = write_enhanced.instance(shown.pixels, spacing, self.kind, subject, record)
            yield f"{subject.identifier}.dcm", _finished(ds, self.form)
            return
        slices = (
            self._pictures(shown, spacing, subject, record)
            if self.form.secondary_capture
            else (write_series.instances(shown.pixels, spacing, self.kind, subject, record))
        )
        for ds in slices:
            yield f"{subject.identifier}/{int(ds.InstanceNumber):04d}.dcm", _finished(ds, self.form)

    def _pictures(
        self, shown: Image, spacing: tuple[float, ...], subject: write.Subject, record: dict[str, Any]
    ) -> Iterator[Dataset]:
        for number, pixels in enumerate(self.kind.stored(shown.pixels), 1):
            ds = write_secondary.instance(
                pixels, BITS, number, (self.kind.modality,), subject, record, (spacing[1], spacing[2])
            )
            write.described(ds, subject, self.kind.words, f"{self.kind.words}, pictures")
            ds.BodyPartExamined, ds.SeriesNumber = self.kind.body[0], 1
            ds.PatientOrientation = ["L", "P"]  # of rows and columns, as axial slices lie
            self.kind.rescale(ds)
            self.kind.window(ds)
            yield write.checked(ds)


def instances(modality: str, form: Form, date: str) -> Instances:
    """What turns samples of a modality into instances.

    Raises:
        Refused: the modality has no such object.
    """
    return Volumes(form, date, modality) if modality in VOLUMES else Mammograms(form, date)


def stored(shown: Image, modality: str) -> NDArray[np.uint16]:
    """The values that any of these instances stores of a sample."""
    return VOLUMES[modality].stored(shown.pixels) if modality in VOLUMES else write_mammogram.stored(shown.pixels)


def side(shown: Image, what: str) -> tuple[str, str]:
    """Laterality and view position of a mammogram.

    Raises:
        Refused: the sample does not say.
    """
    missing = [fact for fact in ("view_position", "laterality") if fact not in shown.facts]
    if missing:
        raise Refused(
            f"{what} needs {' and '.join(missing)} and the samples do not say; draw them with"
            f" --condition {missing[0]}=..., or write PNG."
        )
    return shown.facts["laterality"], shown.facts["view_position"]


def known(shown: Image, what: str) -> tuple[float, ...]:
    """The spacing of a sample.

    Raises:
        Refused: there is none.
    """
    if shown.spacing is None:
        raise Refused(f"{what} needs the spacing and the training images had none; write NPY, or give --spacing.")
    return shown.spacing


def _finished(ds: Dataset, form: Form) -> Dataset:
    return write.compressed(ds, form.compress) if form.compress else ds


def _subject(number: int, record: dict[str, Any], date: str) -> write.Subject:
    """Subject `number` of a snapshot and seed; the mark keeps those of two models apart in an archive."""
    run = json.dumps([record["snapshot_sha256"], record["seed"], record.get("truncation")])
    return write.Subject(number, "SYNTHETIC", run, date, hashlib.sha256(run.encode()).hexdigest()[:8])
