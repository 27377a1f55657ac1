"""The differences between CT and MR objects: classes, words, stored values, windows and attributes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence

from ganatomy.dicom import write

VOLUME_BITS = 12
MAX_STORED_VALUE = 2**VOLUME_BITS - 1


@dataclass(frozen=True)
class VolumeClass(ABC):
    """The DICOM objects of a kind of volume; another kind needs a class like `CTClass` and `MRClass`, and a value.

    Args:
        modality: DICOM modality code.
        classic: SOP Class UID of a slice.
        enhanced: SOP Class UID of a multi-frame instance.
        body_part: Body Part Examined, and its code (SCT) with meaning.
        description: words for the descriptions.
        intercept: value of a stored 0.
        scale: stored values per unit of value.
        rescale_type: unit of the values after rescaling.
        windows: centre and width in values after rescaling, by explanation.
        image_type: third value of Image Type of a slice.
        frame_laterality: laterality of the anatomy of an enhanced instance: ``B`` for both sides, ``U`` for an unpaired
            structure.
    """

    modality: str
    classic: str
    enhanced: str
    body_part: tuple[str, str, str]
    description: str
    intercept: int
    scale: int
    rescale_type: str
    windows: dict[str, tuple[int, int]]
    image_type: str
    frame_laterality: str

    def quantise_volume(self, volume: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Quantise values (HU; [0, 1] for MR) to the stored 12 bits; values outside the range are clipped."""
        values = volume * np.float32(self.scale) - np.float32(self.intercept)
        return np.clip(np.rint(values), 0, MAX_STORED_VALUE).astype(np.uint16)

    def add_window(self, ds: Dataset) -> None:
        """Add the window attributes with which a viewer displays the values (PS3.3 C.11.2)."""
        ds.WindowCenter = [str(centre) for centre, _ in self.windows.values()]
        ds.WindowWidth = [str(width) for _, width in self.windows.values()]
        ds.WindowCenterWidthExplanation = list(self.windows)

    def add_rescale(self, ds: Dataset) -> None:
        """Add the rescale attributes, which convert stored values to values (PS3.3 C.11.1)."""
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(self.intercept), "1", self.rescale_type

    @abstractmethod
    def add_slice_attributes(self, ds: Dataset) -> None:
        """Add the attributes that only slices of this class have."""

    @abstractmethod
    def add_enhanced_attributes(self, ds: Dataset) -> None:
        """Add the attributes that only enhanced instances of this class have."""

    @abstractmethod
    def add_frame_type(self, shared: Dataset, frame_type: Dataset, instance_uid: str) -> None:
        """Add the functional groups of this class to those that all frames share.

        Args:
            shared: the item of the shared functional groups.
            frame_type: the item of the sequence of frame types.
            instance_uid: SOP Instance UID.
        """


class CTClass(VolumeClass):
    """Computed tomography (PS3.3 C.8.2.1, C.8.15)."""

    def add_slice_attributes(self, ds: Dataset) -> None:
        self.add_rescale(ds)
        ds.KVP = None

    def add_enhanced_attributes(self, ds: Dataset) -> None:
        """Add nothing."""

    def add_frame_type(self, shared: Dataset, frame_type: Dataset, instance_uid: str) -> None:
        event = Dataset()
        event.IrradiationEventUID = write.make_uid("irradiation event", instance_uid)  # mandatory
        shared.IrradiationEventIdentificationSequence = Sequence([event])
        shared.CTImageFrameTypeSequence = Sequence([frame_type])


class MRClass(VolumeClass):
    """Magnetic resonance (PS3.3 C.8.3.1, C.8.13)."""

    def add_slice_attributes(self, ds: Dataset) -> None:
        """Add research mode and no sequence, since there was no acquisition (PS3.3 C.8.3.1)."""
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "RM", "NONE", "", "3D"
        ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = None

    def add_enhanced_attributes(self, ds: Dataset) -> None:
        """Add the attributes that are required of a derived image."""
        ds.ComplexImageComponent, ds.AcquisitionContrast = "MAGNITUDE", "UNKNOWN"
        ds.ApplicableSafetyStandardAgency, ds.ResonantNucleus = "IEC", "1H"
        ds.KSpaceFiltering = "NONE"

    def add_frame_type(self, shared: Dataset, frame_type: Dataset, instance_uid: str) -> None:
        shared.MRImageFrameTypeSequence = Sequence([frame_type])


CT = CTClass(
    "CT",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    ("CHEST", "51185008", "Chest"),
    "thorax CT",
    -1024,
    1,
    "HU",
    {"SOFT_TISSUE": (40, 400), "LUNG": (-600, 1500)},
    "AXIAL",
    "B",
)
MR = MRClass(
    "MR",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    ("BRAIN", "12738006", "Brain"),
    "brain MRI",
    0,
    MAX_STORED_VALUE,
    "US",
    {"WHOLE RANGE": (2 ** (VOLUME_BITS - 1), 2**VOLUME_BITS)},
    "OTHER",
    "U",
)


def compute_origin(shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Compute the centre of the first voxel in millimetres (L, P, S), with the centre of the volume at zero."""
    return tuple(-s * (n - 1) / 2 for s, n in zip(spacing[::-1], shape[::-1], strict=True))
