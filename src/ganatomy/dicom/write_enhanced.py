"""Enhanced CT and MR: a volume in one instance of many frames (PS3.3 A.38, A.36).

Image Type begins with DERIVED, so no macro that tells of an acquisition is required (PS3.3 C.8.15.2.1.1, C.8.13.1).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from ganatomy.dicom import write
from ganatomy.dicom.volume_class import BITS, CT, MR, VolumeClass, origin

TYPE = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
STACK = "1"


def instance(
    volume: NDArray[np.float32],
    spacing: tuple[float, ...],
    kind: VolumeClass,
    subject: write.Subject,
    record: dict[str, Any],
) -> Dataset:
    """A volume as one instance, frames from the feet upwards.

    Args:
        volume: (S, P, L) axes; HU for CT, [0, 1] for MR.
        spacing: millimetres between frames, rows and columns.
        record: provenance.

    Raises:
        ValueError: the spacing is not three numbers above zero.
    """
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"a volume needs three spacings above zero, got {spacing}")
    stored = kind.stored(volume)
    ds = write.dataset(kind.enhanced, kind.modality, subject, ("enhanced", kind.modality), 1, record, stored)
    write.described(ds, subject, kind.words, f"enhanced {kind.words}")
    del ds.DerivationDescription, ds.AcquisitionDate, ds.AcquisitionTime  # not attributes of these objects
    ds.ImageType = TYPE
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = kind.body[0]
    ds.SeriesNumber = 1
    ds.AcquisitionDateTime = f"{subject.date}120000"
    ds.FrameOfReferenceUID = write.uid("frame of reference", ds.SeriesInstanceUID)
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionContextSequence = Sequence([])
    ds.PresentationLUTShape = "IDENTITY"
    _described_as(ds, kind)
    _dimensions(ds)
    write.add_pixels(ds, stored, BITS)
    ds.SharedFunctionalGroupsSequence = Sequence([_shared(ds, spacing, kind)])
    left, back, up = origin(volume.shape, spacing)
    places = ((left, back, up + number * spacing[0]) for number in range(len(volume)))
    ds.PerFrameFunctionalGroupsSequence = Sequence([_frame(number, place) for number, place in enumerate(places, 1)])
    return write.checked(ds)


def _described_as(ds: Dataset, kind: VolumeClass) -> None:
    """Common CT/MR image description (PS3.3 C.8.16.2), and what MR asks of a derived image."""
    ds.PixelPresentation, ds.VolumetricProperties, ds.VolumeBasedCalculationTechnique = "MONOCHROME", "VOLUME", "NONE"
    if kind is MR:
        ds.ComplexImageComponent, ds.AcquisitionContrast = "MAGNITUDE", "UNKNOWN"
        ds.ApplicableSafetyStandardAgency, ds.ResonantNucleus = "IEC", "1H"
        ds.KSpaceFiltering = "NONE"


def _dimensions(ds: Dataset) -> None:
    """Frames are ordered by their position in one stack (PS3.3 C.7.6.17)."""
    organisation = write.uid("dimensions", ds.SOPInstanceUID)
    of = Dataset()
    of.DimensionOrganizationUID = organisation
    ds.DimensionOrganizationSequence = Sequence([of])
    indices = []
    for pointer in ("StackID", "InStackPositionNumber"):
        index = Dataset()
        index.DimensionOrganizationUID = organisation
        index.DimensionIndexPointer = Tag(pointer)
        index.FunctionalGroupPointer = Tag("FrameContentSequence")
        indices.append(index)
    ds.DimensionIndexSequence = Sequence(indices)


def _shared(ds: Dataset, spacing: tuple[float, ...], kind: VolumeClass) -> Dataset:
    """Functional groups that hold for all frames."""
    between, between_rows, between_columns = (write.decimal(s) for s in spacing)
    measures, orientation, anatomy, values, window, frame_type = (Dataset() for _ in range(6))
    measures.PixelSpacing = [between_rows, between_columns]
    measures.SliceThickness = measures.SpacingBetweenSlices = between
    orientation.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    _, code, meaning = kind.body
    anatomy.AnatomicRegionSequence = Sequence([write.code(code, "SCT", meaning)])
    anatomy.FrameLaterality = "B" if kind is CT else "U"
    kind.rescale(values)
    kind.window(window)
    frame_type.FrameType = TYPE
    for name in (
        "PixelPresentation",
        "VolumetricProperties",
        "VolumeBasedCalculationTechnique",
        "ComplexImageComponent",
        "AcquisitionContrast",
    ):
        if name in ds:
            setattr(frame_type, name, ds[name].value)
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.FrameAnatomySequence = Sequence([anatomy])
    shared.PixelValueTransformationSequence = Sequence([values])
    shared.FrameVOILUTSequence = Sequence([window])
    if kind is CT:
        event = Dataset()
        event.IrradiationEventUID = write.uid("irradiation event", ds.SOPInstanceUID)  # mandatory, though none was
        shared.IrradiationEventIdentificationSequence = Sequence([event])
        shared.CTImageFrameTypeSequence = Sequence([frame_type])
    else:
        shared.MRImageFrameTypeSequence = Sequence([frame_type])
    return shared


def _frame(number: int, place: tuple[float, ...]) -> Dataset:
    content, position, frame = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = STACK, number, [1, number]
    position.ImagePositionPatient = [write.decimal(v) for v in place]
    frame.FrameContentSequence = Sequence([content])
    frame.PlanePositionSequence = Sequence([position])
    return frame
