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
from ganatomy.dicom.volume_class import CT, MR, VOLUME_BITS
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image

VOLUME_CLASSES = {"chest_ct": CT, "brain_mri": MR}


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


class MammogramInstances:
    """Digital Mammography X-Ray Image, or its picture: the k-th image of each view and laterality makes study k."""

    def __init__(self, form: DicomForm, date: str) -> None:
        if form.enhanced:
            raise Refused("--enhanced is for CT and MR volumes; a mammogram is one image.")
        self.form, self.date = form, date
        self.studies: Counter[tuple[str, ...]] = Counter()

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        laterality, view = get_laterality_and_view(shown, "DICOM")
        rows, columns = get_spacing(shown, "DICOM")
        self.studies[laterality, view] += 1
        subject = _make_subject(self.studies[laterality, view], record, self.date)
        if self.form.secondary_capture:
            ds = write_secondary.make_secondary_capture(
                write_mammogram.quantise_pixels(shown.pixels),
                write_mammogram.MAMMOGRAM_BITS,
                1,
                (laterality, view),
                subject,
                record,
                (rows, columns),
            )
            write_mammogram.add_view_attributes(ds, view, laterality, subject)
        else:
            ds = write_mammogram.make_mammogram_instance(
                shown.pixels, (rows, columns), view, laterality, subject, record
            )
        yield f"{subject.identifier}/{laterality}{view}.dcm", _apply_compression(ds, self.form)


class VolumeInstances:
    """A classic CT or MR series, an Enhanced instance, or pictures of slices; every volume is a study of its own."""

    def __init__(self, form: DicomForm, date: str, modality: str) -> None:
        self.form, self.date, self.kind = form, date, VOLUME_CLASSES[modality]

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        spacing = get_spacing(shown, "DICOM")
        subject = _make_subject(record["index"] + 1, record, self.date)
        if self.form.enhanced:
            ds = write_enhanced.make_enhanced_instance(shown.pixels, spacing, self.kind, subject, record)
            yield f"{subject.identifier}.dcm", _apply_compression(ds, self.form)
            return
        slices = (
            self._make_captures(shown, spacing, subject, record)
            if self.form.secondary_capture
            else (write_series.make_series_instances(shown.pixels, spacing, self.kind, subject, record))
        )
        for ds in slices:
            yield f"{subject.identifier}/{int(ds.InstanceNumber):04d}.dcm", _apply_compression(ds, self.form)

    def _make_captures(
        self, shown: Image, spacing: tuple[float, ...], subject: write.Subject, record: dict[str, Any]
    ) -> Iterator[Dataset]:
        for number, pixels in enumerate(self.kind.quantise_volume(shown.pixels), 1):
            ds = write_secondary.make_secondary_capture(
                pixels, VOLUME_BITS, number, (self.kind.modality,), subject, record, (spacing[1], spacing[2])
            )
            write.add_descriptions(ds, subject, self.kind.description, f"{self.kind.description}, pictures")
            ds.BodyPartExamined, ds.SeriesNumber = self.kind.body_part[0], 1
            ds.PatientOrientation = ["L", "P"]  # of rows and columns, as axial slices lie
            self.kind.add_rescale(ds)
            self.kind.add_window(ds)
            yield write.check_dataset(ds)


def make_instance_maker(modality: str, form: DicomForm, date: str) -> InstanceMaker:
    """What turns samples of a modality into instances.

    Raises:
        Refused: the modality has no such object.
    """
    return VolumeInstances(form, date, modality) if modality in VOLUME_CLASSES else MammogramInstances(form, date)


def quantise_sample(shown: Image, modality: str) -> NDArray[np.uint16]:
    """The values that any of these instances stores of a sample."""
    return (
        VOLUME_CLASSES[modality].quantise_volume(shown.pixels)
        if modality in VOLUME_CLASSES
        else write_mammogram.quantise_pixels(shown.pixels)
    )


def get_laterality_and_view(shown: Image, purpose: str) -> tuple[str, str]:
    """Laterality and view position of a mammogram.

    Raises:
        Refused: the sample does not say.
    """
    missing = [fact for fact in ("view_position", "laterality") if fact not in shown.facts]
    if missing:
        raise Refused(
            f"{purpose} needs {' and '.join(missing)} and the samples do not say; draw them with"
            f" --condition {missing[0]}=..., or write PNG."
        )
    return shown.facts["laterality"], shown.facts["view_position"]


def get_spacing(shown: Image, purpose: str) -> tuple[float, ...]:
    """The spacing of a sample.

    Raises:
        Refused: there is none.
    """
    if shown.spacing is None:
        raise Refused(f"{purpose} needs the spacing and the training images had none; write NPY, or give --spacing.")
    return shown.spacing


def _apply_compression(ds: Dataset, form: DicomForm) -> Dataset:
    return write.compress_dataset(ds, form.compress) if form.compress else ds


def _make_subject(number: int, record: dict[str, Any], date: str) -> write.Subject:
    """Subject `number` of a snapshot and seed; the mark keeps those of two models apart in an archive."""
    run = json.dumps([record["snapshot_sha256"], record["seed"], record.get("truncation")])
    return write.Subject(number, "SYNTHETIC", run, date, hashlib.sha256(run.encode()).hexdigest()[:8])
