"""Findings of `verify`: what a file claims of its origin, and whether that is true."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganatomy.errors import Ended
from ganatomy.imaging.marking import COLLECTED, COMPUTED, EDITED, SIDE_BY_SIDE, TRAINED, Mark
from ganatomy.machine.progress import format_name

CLAIMS = {  # what a term of IPTC's Digital Source Type says of an image
    TRAINED: "made by a trained model",
    COMPUTED: "drawn by a program without data",
    EDITED: "derived by a model from another image",
    SIDE_BY_SIDE: "images by a model beside others",
    COLLECTED: "images of any origin",
}
NO_SIGNATURE = "none"
INVALID = "INVALID"  # begins what is told of a signature that does not fit the file
UNCHECKED = "not checked; it needs: pip install 'ganatomy[sign]'"


class VerificationError(Ended):
    """Some files are not marked synthetic or contradict their record."""


@dataclass(frozen=True)
class Finding:
    """The origin that a file states, and whether it is true; no other value of its header is kept.

    Args:
        file: path below the folder.
        marked: whether the file says that it shows no patient: by Synthetic Data in DICOM, by its mark elsewhere.
        format: ``DICOM``, ``PNG``, ``TIFF``, ``JPEG``, ``NIfTI`` or ``NPY``; empty if the file could not be opened.
        claims: what the file says of its origin, in words; empty if it says nothing.
        model, snapshot, seed, index: values of our record; None if there is no record, or one for each of several.
        images: number of images that the record tells of, such as those of a grid.
        pixels: ``as written``, ``changed``, or ``unknown`` if there is no hash.
        again: comparison with the image generated again by the snapshot: ``equal`` (to rounding), ``close`` (as
            computed by another device) or ``different``; or why no image was generated.
        geometry: comparison of spacing, position, orientation and size with those of the image generated again:
            ``equal``, ``different`` with the attributes, or ``unknown`` if the model has no spacing.
        difference: the largest difference of both images, in stored values of 4095.
        signature: ``none``, ``valid`` with the name of the signer, ``INVALID`` with the reason, or why it was not
            checked.
        faults: contradictions in the header.
    """

    file: str
    marked: bool
    format: str = "DICOM"
    claims: str = ""
    model: str | None = None
    snapshot: str | None = None
    seed: int | None = None
    index: int | None = None
    images: int = 1
    pixels: str = "unknown"
    again: str = "not tried"
    difference: int | None = None
    geometry: str = "not tried"
    signature: str = NO_SIGNATURE
    faults: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the file is marked, agrees with its record and the image generated again, and has no faults."""
        changed = self.pixels == "changed" or self.again == "different" or self.geometry.startswith("different")
        return self.marked and not changed and not self.signature.startswith(INVALID) and not self.faults

    def describe(self) -> str:
        """Describe the finding in one line."""
        claims = f" ({self.claims})" if self.claims else ""
        words = [("synthetic" if self.marked else "NOT MARKED SYNTHETIC") + claims + self._describe_origin()]
        words += [] if self.pixels == "unknown" else [f"pixels {self.pixels}"]
        words += [] if self.again == "not tried" else [f"made again: {self.again}"]
        words += [] if self.geometry == "not tried" else [f"geometry {self.geometry}"]
        words += [] if self.signature == NO_SIGNATURE else [f"signature {self.signature}"]
        return "; ".join([*words, *self.faults])

    def _describe_origin(self) -> str:
        made = "" if self.model is None else f", by {self.model}"
        made += "" if self.snapshot is None else f" {self.snapshot[:16]}"
        made += "" if self.seed is None else f", seed {self.seed}"
        made += "" if self.index is None else f", image {self.index}"
        return made + (f", {self.images} images" if self.images > 1 else "")


def describe_mark(mark: Mark | None) -> dict[str, Any]:
    """What a finding takes from the mark of a picture, a NIfTI or an NPY file."""
    if mark is None:
        return {"marked": False}
    claims = CLAIMS.get(mark.source, mark.source) or mark.comment
    return {"marked": mark.says_synthetic, "claims": claims, **describe_record(mark.record)}


def describe_record(record: Any) -> dict[str, Any]:
    """What a finding takes from a record; of several records what they have in common, without seed and number."""
    several = list(record) if isinstance(record, list) else [record]
    told: dict[str, Any] = {"images": max(1, len(several))}
    for field, name, kind in (("model", "generator", str), ("snapshot", "snapshot_sha256", str), ("seed", "seed", int)):
        values = [one.get(name) for one in several]
        if values and isinstance(values[0], kind) and all(value == values[0] for value in values):
            told[field] = values[0]
    number = several[0].get("index") if len(several) == 1 else None
    return told | {"index": number if isinstance(number, int) else None}


def summarise_findings(findings: list[Finding]) -> Iterator[str]:
    """Summarise findings in lines of text; files of one folder with the same findings share a line."""
    lines: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        lines.setdefault((str(Path(finding.file).parent), finding.describe()), []).append(finding.file)
    for (folder, told), names in lines.items():
        name = format_name(names[0] if len(names) == 1 else f"{folder}/ ({len(names)} files)")
        yield f"{name}: {told}"
