"""Enhanced CT and MR objects: a volume as one multi-frame instance (PS3.3 A.38, A.36).

Image Type begins with DERIVED, so no macro about an acquisition is required (PS3.3 C.8.15.2.1.1, C.8.13.1).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from ganatomy.dicom import write
from ganatomy.dicom.volume_class import VOLUME_BITS, VolumeClass, compute_origin

IMAGE_TYPE = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
STACK_ID = "1"


def make_enhanced_instance(
    volume: NDArray[np.float32],
    spacing: tuple[float, ...],
    volume_class: VolumeClass,
    subject: write.Subject,
    record: dict[str, Any],
) -> Dataset:
    """Make one instance of a volume with its frames from the feet upwards.

    Args:
        volume: (S, P, L) axes; HU for CT, [0, 1] for MR.
        spacing: millimetres between frames, rows and columns.
        record: provenance of the volume.

    Raises:
        ValueError: the spacing does not consist of three numbers above zero.
    """
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"a volume needs three spacings above zero, got {spacing}")
    stored = volume_class.quantise_volume(volume)
    ds = write.make_dataset(
        volume_class.enhanced, volume_class.modality, subject, ("enhanced", volume_class.modality), 1, record, stored
    )
    write.add_descriptions(ds, subject, volume_class.description, f"enhanced {volume_class.description}")
    del ds.DerivationDescription, ds.AcquisitionDate, ds.AcquisitionTime  # these objects do not have these attributes
    ds.ImageType = IMAGE_TYPE
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = volume_class.body_part[0]
    ds.SeriesNumber = 1
    ds.AcquisitionDateTime = f"{subject.date}120000"
    ds.FrameOfReferenceUID = write.make_uid("frame of reference", ds.SeriesInstanceUID)
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionContextSequence = Sequence([])
    ds.PresentationLUTShape = "IDENTITY"
    _add_image_description(ds, volume_class)
    _add_dimensions(ds)
    write.add_pixels(ds, stored, VOLUME_BITS)
    ds.SharedFunctionalGroupsSequence = Sequence([_make_shared_groups(ds, spacing, volume_class)])
    left, back, up = compute_origin(volume.shape, spacing)
    places = ((left, back, up + number * spacing[0]) for number in range(len(volume)))
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [_make_frame_groups(number, place) for number, place in enumerate(places, 1)]
    )
    return write.check_dataset(ds)


def _add_image_description(ds: Dataset, volume_class: VolumeClass) -> None:
    """Add the common CT/MR image description (PS3.3 C.8.16.2) and the attributes of the class."""
    ds.PixelPresentation, ds.VolumetricProperties, ds.VolumeBasedCalculationTechnique = "MONOCHROME", "VOLUME", "NONE"
    volume_class.add_enhanced_attributes(ds)


def _add_dimensions(ds: Dataset) -> None:
    """Add the dimensions: frames are ordered by their position in one stack (PS3.3 C.7.6.17)."""
    organisation = write.make_uid("dimensions", ds.SOPInstanceUID)
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


def _make_shared_groups(ds: Dataset, spacing: tuple[float, ...], volume_class: VolumeClass) -> Dataset:
    """Make the functional groups that all frames share."""
    between, between_rows, between_columns = (write.format_decimal(s) for s in spacing)
    measures, orientation, anatomy, values, window, frame_type = (Dataset() for _ in range(6))
    measures.PixelSpacing = [between_rows, between_columns]
    measures.SliceThickness = measures.SpacingBetweenSlices = between
    orientation.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    _, code, meaning = volume_class.body_part
    anatomy.AnatomicRegionSequence = Sequence([write.make_code_item(code, "SCT", meaning)])
    anatomy.FrameLaterality = volume_class.frame_laterality
    volume_class.add_rescale(values)
    volume_class.add_window(window)
    frame_type.FrameType = IMAGE_TYPE
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
    volume_class.add_frame_type(shared, frame_type, ds.SOPInstanceUID)
    return shared


def _make_frame_groups(number: int, coordinates: tuple[float, ...]) -> Dataset:
    content, position, frame = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = STACK_ID, number, [1, number]
    position.ImagePositionPatient = [write.format_decimal(v) for v in coordinates]
    frame.FrameContentSequence = Sequence([content])
    frame.PlanePositionSequence = Sequence([position])
    return frame
