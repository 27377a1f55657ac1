"""Classic CT and MR series of a volume, one file a slice (PS3.3 A.3, A.4, C.8.2.1, C.8.3.1)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ganatomy.dicom import write

CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}
BODY = {"CT": "CHEST", "MR": "BRAIN"}
WORDS = {"CT": "thorax CT", "MR": "brain MRI"}
BITS = 12
INTERCEPT_HU = -1024
WINDOWS_HU = {"SOFT TISSUE": (40, 400), "LUNG": (-600, 1500)}  # centre, width
MR_FULL = 2**BITS - 1  # stored value of a 1 in MR


def instances(
    volume: NDArray[np.float32], spacing: tuple[float, ...], modality: str, subject: write.Subject,
    record: dict[str, Any], series: str = "1",
) -> Iterator[Dataset]:  # fmt: skip
    """The slices of a volume, from the feet upwards.

    Args:
        volume: (S, P, L) axes; HU for CT, [0, 1] for MR.
        spacing: millimetres between slices, rows and columns.
        modality: ``CT`` or ``MR``.
        record: provenance; every slice carries it.
        series: tells the series of a study apart.
    """
    if modality not in CLASSES or len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"a series needs CT or MR and three spacings above zero, got {modality} and {spacing}")
    stored = _stored(volume, modality)
    between, between_rows, between_columns = spacing
    origin = [
        -s * (n - 1) / 2 for s, n in zip((between_columns, between_rows, between), volume.shape[::-1], strict=True)
    ]
    frame = write.uid("frame of reference", subject.study, series)
    for number, pixels in enumerate(stored):
        ds = write.dataset(CLASSES[modality], modality, subject, (modality, series, str(number)), record, pixels)
        ds.SeriesInstanceUID = write.uid("series", subject.study, modality, series)
        ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"] if modality == "CT" else ["DERIVED", "SECONDARY", "OTHER"]
        ds.PatientSex = ""
        ds.PatientPosition = "HFS"
        ds.BodyPartExamined = BODY[modality]
        ds.StudyDescription = f"{subject.kind} {WORDS[modality]}"
        ds.SeriesDescription = f"{subject.kind} {WORDS[modality]}"
        ds.DerivationDescription = f"Entirely {subject.kind.lower()} {WORDS[modality]}; no patient was imaged"
        ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = series, 1, number + 1
        place = [origin[0], origin[1], origin[2] + number * between]
        ds.ImagePositionPatient = [_decimal(v) for v in place]
        ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        ds.SliceLocation = _decimal(place[2])
        ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(between)
        ds.PixelSpacing = [_decimal(between_rows), _decimal(between_columns)]
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = frame, ""
        write.add_pixels(ds, pixels, BITS)
        (_ct if modality == "CT" else _mr)(ds)
        yield ds


def _stored(volume: NDArray[np.float32], modality: str) -> NDArray[np.uint16]:
    values = volume - INTERCEPT_HU if modality == "CT" else volume * MR_FULL
    return np.clip(np.rint(values), 0, 2**BITS - 1).astype(np.uint16)


def _ct(ds: Dataset) -> None:
    ds.KVP = None
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(INTERCEPT_HU), "1", "HU"
    ds.WindowCenter = [str(centre) for centre, _ in WINDOWS_HU.values()]
    ds.WindowWidth = [str(width) for _, width in WINDOWS_HU.values()]
    ds.WindowCenterWidthExplanation = list(WINDOWS_HU)


def _mr(ds: Dataset) -> None:
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "RM", "NONE", "", "3D"
    ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = None
    ds.WindowCenter, ds.WindowWidth = str((MR_FULL + 1) // 2), str(MR_FULL + 1)


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 table 6.2-1)."""
    return f"{round(value, 6):.10g}"
