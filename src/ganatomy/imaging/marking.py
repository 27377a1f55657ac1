"""The mark of a file: how its image came about, whether it may show a patient, and the record of how it was made.

One value is written into every format: as XMP into pictures, as a header extension into NIfTI, as JSON beside NPY. The
terms are those of IPTC's vocabulary Digital Source Type (http://cv.iptc.org/newscodes/digitalsourcetype/).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED, COMPUTED = "trainedAlgorithmicMedia", "algorithmicMedia"  # by a trained model; by a program without data
EDITED = "compositeWithTrainedAlgorithmicMedia"  # something else that a model has changed
SIDE_BY_SIDE, COLLECTED = "compositeSynthetic", "composite"  # some elements are by a model; any may be or not
SYNTHETIC_COMMENT = "SYNTHETIC IMAGE - NOT FOR DIAGNOSTIC USE"
DERIVED_COMMENT = "Derived by a model from an image of a real patient; not a synthetic case, not for diagnosis."
DERIVED_WITHOUT_PATIENT = "Derived by a model from a phantom or a synthetic image; not for diagnosis."
MAY_SHOW_PATIENTS = " Some of them may be of real patients - not to be handed on."
NO_PATIENTS = " None of them is of a patient."

Record = Mapping[str, Any] | Sequence[Mapping[str, Any]]
CLASSES = "classes"  # entry of the record of a label map: the names of its classes by number


@dataclass(frozen=True)
class Mark:
    """What a file says of its image.

    Args:
        source: a term of IPTC's Digital Source Type; empty where the file must not tell, as in a reader study.
        comment: the same for a reader, in a sentence.
        shows_patients: whether the image, or a part of it, may be of a real patient.
        record: how the image was made, or each of the images of a picture; empty where that is not known.
        software: what wrote the file, with its version.
        pixels_sha256: SHA-256 of the stored pixels; None in files of version 0.1.0 and of others.
    """

    source: str
    comment: str
    shows_patients: bool
    record: Record
    software: str = ""
    pixels_sha256: str | None = None

    @property
    def says_synthetic(self) -> bool:
        """Whether the file says that nothing in it is of a patient."""
        return self.source in (TRAINED, COMPUTED) or (self.source in (EDITED, SIDE_BY_SIDE) and not self.shows_patients)

    def make_document(self, pixels: NDArray[Any] | None = None) -> dict[str, Any]:
        """The mark as plain values for JSON.

        Args:
            pixels: the values as they are stored, whose hash is added; None = without a hash, which a mark without a
                source never has, since all images of a reader study have to have the same.
        """
        document = {
            "digital_source_type": VOCABULARY + self.source if self.source else "",
            "comment": self.comment,
            "shows_patients": self.shows_patients,
            "software": f"ganatomy {version('ganatomy')}",
            "record": self.record,
        }
        return document if pixels is None or not self.source else document | {"pixels_sha256": hash_pixels(pixels)}


def mark_synthetic(record: Record, comment: str = SYNTHETIC_COMMENT) -> Mark:
    """The mark of one image, or of a picture of images, of which a trained model has made every pixel."""
    return Mark(TRAINED, comment, False, record)


def mark_phantom(record: Record) -> Mark:
    """The mark of an image that a program has drawn without data."""
    return Mark(COMPUTED, SYNTHETIC_COMMENT, False, record)


def mark_derived(record: Record, shows_patients: bool) -> Mark:
    """The mark of one image that a model has derived from another, such as a reconstruction."""
    comment = DERIVED_COMMENT if shows_patients else DERIVED_WITHOUT_PATIENT
    return Mark(EDITED, comment, shows_patients, record)


def mark_side_by_side(record: Record, shows_patients: bool) -> Mark:
    """The mark of a picture that shows images of a model beside others."""
    comment = "Images by a model beside images that it learnt from or was compared with."
    return Mark(SIDE_BY_SIDE, comment + _say_patients(shows_patients), shows_patients, record)


def mark_collected(comment: str, shows_patients: bool) -> Mark:
    """The mark of a picture of images as they were given to us, whatever their origin."""
    return Mark(COLLECTED, comment + _say_patients(shows_patients), shows_patients, {})


def mark_blinded(shows_patients: bool) -> Mark:
    """The mark of an image of a reader study: the same for all, since it must not tell which are synthetic."""
    comment = "An image of a reader study, synthetic or not; the key of the study tells. Not for diagnosis."
    return Mark("", comment, shows_patients, {})


def hash_pixels(pixels: NDArray[Any]) -> str:
    """SHA-256 of values in little-endian byte order, row by row."""
    ordered = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(ordered.data).hexdigest()


def parse_document(document: Any) -> Mark | None:
    """The mark of a document that `Mark.make_document` made, perhaps edited; None if it is something else."""
    if not isinstance(document, dict) or not isinstance(document.get("record"), (dict, list)):
        return None
    digest = document.get("pixels_sha256")
    return Mark(
        parse_source(str(document.get("digital_source_type", ""))),
        str(document.get("comment", "")),
        document.get("shows_patients") is not False,
        document["record"],
        str(document.get("software", "")),
        None if digest is None else str(digest),
    )


def parse_source(text: str) -> str:
    """The term of a value of Digital Source Type; empty if the value is of another vocabulary."""
    vocabulary, _, term = text.strip().replace("https://", "http://").rpartition("/")
    return term if f"{vocabulary}/" == VOCABULARY else ""


def parse_record(text: str) -> Record:
    """The record in a text of JSON; an empty one if the text holds none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    is_list = isinstance(found, list) and all(isinstance(one, dict) for one in found)
    return found if is_list or isinstance(found, dict) else {}


def _say_patients(shows_patients: bool) -> str:
    return MAY_SHOW_PATIENTS if shows_patients else NO_PATIENTS
