"""What CT and MR objects have of their own: classes, words, stored values, windows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

VOLUME_BITS = 12
MAX_STORED_VALUE = 2**VOLUME_BITS - 1


@dataclass(frozen=True)
class VolumeClass:
    """A kind of volume.

    Args:
        modality: DICOM's code.
        classic: SOP Class UID of a slice.
        enhanced: SOP Class UID of a multi-frame instance.
        body: Body Part Examined, and its code (SCT) with meaning.
        words: for descriptions.
        intercept: value of a stored 0.
        scale: stored values for one unit of value.
        rescale_type: unit of the values after rescaling.
        windows: centre and width in values after rescaling, by explanation.
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

    def quantise_volume(self, volume: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Values (HU; [0, 1] for MR) as they are stored, 12 bits; what does not fit is clipped."""
        values = volume * np.float32(self.scale) - np.float32(self.intercept)
        return np.clip(np.rint(values), 0, MAX_STORED_VALUE).astype(np.uint16)

    def add_window(self, ds: Dataset) -> None:
        """Window attributes, by which a viewer shows the values (PS3.3 C.11.2)."""
        ds.WindowCenter = [str(centre) for centre, _ in self.windows.values()]
        ds.WindowWidth = [str(width) for _, width in self.windows.values()]
        ds.WindowCenterWidthExplanation = list(self.windows)

    def add_rescale(self, ds: Dataset) -> None:
        """Rescale attributes, by which stored values become values (PS3.3 C.11.1)."""
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(self.intercept), "1", self.rescale_type


CT = VolumeClass(
    "CT",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    ("CHEST", "51185008", "Chest"),
    "thorax CT",
    -1024,
    1,
    "HU",
    {"SOFT_TISSUE": (40, 400), "LUNG": (-600, 1500)},
)
MR = VolumeClass(
    "MR",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    ("BRAIN", "12738006", "Brain"),
    "brain MRI",
    0,
    MAX_STORED_VALUE,
    "US",
    {"WHOLE RANGE": (2 ** (VOLUME_BITS - 1), 2**VOLUME_BITS)},
)


def compute_origin(shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Centre of the first voxel in DICOM's millimetres (L, P, S), the middle of the volume at zero."""
    return tuple(-s * (n - 1) / 2 for s, n in zip(spacing[::-1], shape[::-1], strict=True))
