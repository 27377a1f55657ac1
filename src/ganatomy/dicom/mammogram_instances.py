"""Conversion of a synthetic mammogram to its DICOM instance."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write, write_mammogram, write_secondary
from ganatomy.dicom.instances import DicomForm, apply_compression, get_spacing, make_subject, refuse_enhanced
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image


class MammogramKind:
    """Mammograms as Digital Mammography X-Ray Image or Secondary Capture."""

    def make_instances(self, form: DicomForm, date: str) -> "MammogramInstances":
        return MammogramInstances(form, date)

    def quantise_sample(self, shown: Image) -> NDArray[np.uint16]:
        return write.quantise_grey_values(shown.pixels)


class MammogramInstances:
    """Makes mammography instances; the k-th image of each view and laterality belongs to study k."""

    def __init__(self, form: DicomForm, date: str) -> None:
        refuse_enhanced(form, "mammogram")
        self.form, self.date = form, date
        self.studies: Counter[tuple[str, ...]] = Counter()

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        laterality, view = get_laterality_and_view(shown, "DICOM")
        rows, columns = get_spacing(shown, "DICOM")
        self.studies[laterality, view] += 1
        subject = make_subject(self.studies[laterality, view], record, self.date)
        if self.form.secondary_capture:
            pixels = write.quantise_grey_values(shown.pixels)
            ds = write_secondary.make_secondary_capture(
                pixels, write.GREY_BITS, 1, (laterality, view), subject, record, (rows, columns)
            )
            write_mammogram.add_view_attributes(ds, view, laterality, subject)
        else:
            ds = write_mammogram.make_mammogram_instance(
                shown.pixels, (rows, columns), view, laterality, subject, record
            )
        yield f"{subject.identifier}/{laterality}{view}.dcm", apply_compression(ds, self.form)


def get_laterality_and_view(shown: Image, purpose: str) -> tuple[str, str]:
    """Return laterality and view position of a mammogram.

    Args:
        purpose: what needs them, for the message.

    Raises:
        Refused: the sample does not have them.
    """
    missing = [fact for fact in ("view_position", "laterality") if fact not in shown.facts]
    if missing:
        raise Refused(
            f"{purpose} needs {' and '.join(missing)} and the samples do not say; draw them with"
            f" --condition {missing[0]}=..., or write PNG."
        )
    return shown.facts["laterality"], shown.facts["view_position"]
