"""Conversion of any grey picture to Secondary Capture, for modalities without a DICOM object of their own here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write, write_secondary
from ganatomy.dicom.instances import DicomForm, apply_compression, make_subject, refuse_enhanced
from ganatomy.imaging.image import Image


@dataclass(frozen=True)
class PictureKind:
    """Pictures of any modality as Secondary Capture; a spacing is written if it is known.

    Args:
        description: the image in words, such as ``chest radiograph``.
        body_part: Body Part Examined, a term of PS3.16 annex L such as ``CHEST``; empty = not written.
    """

    description: str
    body_part: str = ""

    def make_instances(self, form: DicomForm, date: str) -> "PictureInstances":
        return PictureInstances(self, form, date)

    def quantise_sample(self, shown: Image) -> NDArray[np.uint16]:
        return write.quantise_grey_values(shown.pixels)


class PictureInstances:
    """Makes Secondary Capture instances; every picture is a study of its own."""

    def __init__(self, kind: PictureKind, form: DicomForm, date: str) -> None:
        refuse_enhanced(form, kind.description)
        self.kind, self.form, self.date = kind, form, date

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        subject = make_subject(record["index"] + 1, record, self.date)
        spacing = None if shown.spacing is None else (shown.spacing[0], shown.spacing[1])
        ds = write_secondary.make_secondary_capture(
            write.quantise_grey_values(shown.pixels),
            write.GREY_BITS,
            1,
            (self.kind.description,),
            subject,
            record,
            spacing,
        )
        write.add_descriptions(ds, subject, self.kind.description, f"{self.kind.description}, picture")
        ds.SeriesNumber = 1
        ds.Laterality = ds.PatientOrientation = ""  # present and empty, since they are unknown (PS3.3 C.7.3.1, C.7.6.1)
        if self.kind.body_part:
            ds.BodyPartExamined = self.kind.body_part
        yield f"{subject.identifier}.dcm", apply_compression(write.check_dataset(ds), self.form)
