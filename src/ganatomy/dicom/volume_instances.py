"""Conversion of a synthetic volume to its DICOM instances."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write, write_enhanced, write_secondary, write_series
from ganatomy.dicom.instances import DicomForm, apply_compression, get_spacing, make_subject
from ganatomy.dicom.volume_class import VOLUME_BITS, VolumeClass
from ganatomy.imaging.image import Image


@dataclass(frozen=True)
class VolumeKind:
    """Volumes as a classic series, an Enhanced instance, or Secondary Capture pictures of the slices."""

    volume_class: VolumeClass

    def make_instances(self, form: DicomForm, date: str) -> "VolumeInstances":
        return VolumeInstances(self.volume_class, form, date)

    def quantise_sample(self, shown: Image) -> NDArray[np.uint16]:
        return self.volume_class.quantise_volume(shown.pixels)


class VolumeInstances:
    """Makes the instances of volumes; every volume is a study of its own."""

    def __init__(self, volume_class: VolumeClass, form: DicomForm, date: str) -> None:
        self.volume_class, self.form, self.date = volume_class, form, date

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        spacing = get_spacing(shown, "DICOM")
        subject = make_subject(record["index"] + 1, record, self.date)
        if self.form.enhanced:
            ds = write_enhanced.make_enhanced_instance(shown.pixels, spacing, self.volume_class, subject, record)
            yield f"{subject.identifier}.dcm", apply_compression(ds, self.form)
            return
        slices = (
            self._make_captures(shown, spacing, subject, record)
            if self.form.secondary_capture
            else write_series.make_series_instances(shown.pixels, spacing, self.volume_class, subject, record)
        )
        for ds in slices:
            yield f"{subject.identifier}/{int(ds.InstanceNumber):04d}.dcm", apply_compression(ds, self.form)

    def _make_captures(
        self, shown: Image, spacing: tuple[float, ...], subject: write.Subject, record: dict[str, Any]
    ) -> Iterator[Dataset]:
        words = self.volume_class.description
        for number, pixels in enumerate(self.volume_class.quantise_volume(shown.pixels), 1):
            ds = write_secondary.make_secondary_capture(
                pixels, VOLUME_BITS, number, (self.volume_class.modality,), subject, record, (spacing[1], spacing[2])
            )
            write.add_descriptions(ds, subject, words, f"{words}, pictures")
            ds.BodyPartExamined, ds.SeriesNumber = self.volume_class.body_part[0], 1
            ds.PatientOrientation = ["L", "P"]  # directions of rows and columns of axial slices
            self.volume_class.add_rescale(ds)
            self.volume_class.add_window(ds)
            yield write.check_dataset(ds)
