"""Images generated again from their records, to compare a file with what its record says."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import SecondaryCaptureImageStorage

from ganatomy.checkpoint import Snapshot
from ganatomy.dicom.instances import DicomForm
from ganatomy.directions import MovedSamples
from ganatomy.errors import Refused
from ganatomy.exporting.export import render_samples
from ganatomy.exporting.geometry import find_different_geometry, list_geometry
from ganatomy.imaging.image import Image
from ganatomy.modalities.modality import Modality
from ganatomy.modalities.table import get_modality

EQUAL_TOLERANCE = 1  # of 4095; the files between a sample and its instance have 16 bits and are rounded once more
CLOSE_SHARE = 0.01  # of the voxels of a label map, the largest difference expected between devices
CLOSE_TOLERANCE = 41  # of 4095; the largest difference expected between devices
UNUSED_DATE = "20000101"  # for instances that are made only to compare their geometry
NO_IMAGE = "not tried"

StoredValues = NDArray[np.integer[Any]]


class Space(NamedTuple):
    """What of an instance says which geometry it is to have, and which it has."""

    sop_class: str
    is_enhanced: bool
    number: str
    geometry: dict[str, Any]


class _Made(NamedTuple):
    """The last image that was generated: its record, the sample, as displayed, and its stored values."""

    key: str
    image: Image
    shown: Image
    stored: StoredValues


class Maker:
    """Generates images again and keeps the last one, because a series consists of many slices of one volume."""

    def __init__(self, snapshot: Snapshot | None, device: str | None) -> None:
        self.snapshot, self.device = snapshot, device
        self._samples = None if snapshot is None else MovedSamples(snapshot, device)
        self._last: _Made | None = None
        self._geometry: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}  # of the last image, by SOP Class UID

    def compare_pixels(self, record: Mapping[str, Any], number: int, pixels: StoredValues) -> tuple[str, int | None]:
        """Compare stored values with the image generated again; returns `Finding.again` and `Finding.difference`.

        Args:
            record: the record of the instance.
            number: Instance Number, which is the number of a slice.
            pixels: stored values.
        """
        made = self._make_again(record)
        if isinstance(made, str):
            return made, None
        expected = made.stored
        if expected.ndim > pixels.ndim:
            expected = expected[number - 1] if 0 < number <= len(expected) else expected[:0]
        return _compare_values(expected, pixels)

    def compare_shown(self, record: Any, show: Callable[[Modality, Image], Image]) -> tuple[str, int | None]:
        """Compare an image of another format; returns `Finding.again` and `Finding.difference`.

        Args:
            record: the record of the file.
            show: function of the modality and the generated sample that returns the file's image as displayed.
        """
        if not isinstance(record, Mapping) or "index" not in record:
            return NO_IMAGE, None  # a picture of several images
        made = self._make_again(record)
        if isinstance(made, str) or self.snapshot is None:
            return str(made), None
        kind = get_modality(self.snapshot.modality)()
        shown = show(kind, made.image)
        if shown.shape != made.shown.shape:
            return "different", None  # the sizes differ
        return _compare_values(made.stored, kind.dicom.quantise_sample(shown))

    def compare_labels(self, record: Any, show: Callable[[Modality, Image], Image]) -> tuple[str, int | None]:
        """Compare a label map; returns `Finding.again`, and None for the difference, which class numbers do not have.

        Args:
            record: the record of the file.
            show: function of the modality and the generated sample that returns the file's class numbers as displayed.
        """
        made = self._make_again(record)
        if isinstance(made, str) or self.snapshot is None:
            return str(made), None
        expected = made.shown.labels
        found = show(get_modality(self.snapshot.modality)(), made.image).pixels
        if expected is None or found.shape != expected.shape:
            return "different", None
        changed = float((found != expected).mean())
        return "equal" if changed == 0 else "close" if changed <= CLOSE_SHARE else "different", None

    def get_spacing(self) -> tuple[float, ...] | None:
        """Return the spacing of the image that was generated last, as displayed, in millimetres."""
        return None if self._last is None else self._last.shown.spacing

    def compare_geometry(self, record: Mapping[str, Any], space: Space) -> str:
        """What `Finding.geometry` says of an instance whose pixels `compare_pixels` has just compared.

        The modality makes DICOM instances of the image generated again, whose geometry is compared.
        """
        if self.snapshot is None or self._last is None:
            return NO_IMAGE
        key, shown = self._last.key, self._last.shown
        if shown.spacing is None:
            return "unknown"
        if (key, space.sop_class) not in self._geometry:
            capture = space.sop_class == SecondaryCaptureImageStorage
            form = DicomForm(enhanced=space.is_enhanced, secondary_capture=capture)
            make = get_modality(self.snapshot.modality)().dicom.make_instances(form, UNUSED_DATE)
            made = {str(one.InstanceNumber): list_geometry(one) for _, one in make(shown, dict(record))}
            self._geometry = {(key, space.sop_class): made}
        expected = self._geometry[key, space.sop_class].get(space.number, {})
        wrong = find_different_geometry(expected, space.geometry)
        return f"different ({', '.join(wrong)})" if wrong else "equal"

    def _make_again(self, record: Mapping[str, Any]) -> "_Made | str":
        """The image of a record, or why none can be generated."""
        if self.snapshot is None or self._samples is None:
            return NO_IMAGE
        key = json.dumps(record, sort_keys=True)
        if self._last is not None and self._last.key == key:
            return self._last
        modality = self.snapshot.modality
        try:
            image = self._samples.regenerate(record)
            _, shown, _ = next(render_samples([(image, dict(record))], modality, None, "label" in record))
        except Refused as error:
            return str(error)
        except (KeyError, TypeError):
            return "the record is incomplete"
        self._last = _Made(key, image, shown, get_modality(modality)().dicom.quantise_sample(shown))
        self._geometry = {}
        return self._last


def _compare_values(expected: StoredValues, pixels: StoredValues) -> tuple[str, int | None]:
    if expected.shape != pixels.shape:
        return "different", None  # the sizes differ
    largest = int(np.abs(expected.astype(np.int64) - pixels).max())
    word = "equal" if largest <= EQUAL_TOLERANCE else "close" if largest <= CLOSE_TOLERANCE else "different"
    return word, largest
