"""One sample to one file, or one series: PNG, NPY, NIfTI, DICOM. Each says that it is synthetic and how it was made."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ganatomy import nifti
from ganatomy.dicom import write, write_mammogram, write_series
from ganatomy.durable import new_file
from ganatomy.image import Image
from ganatomy.pictures import save_png, sixteen_bit
from ganatomy.refused import Refused


class Writer(Protocol):
    """Writes samples of one format into one folder."""

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        """The path below the folder of what was written.

        Args:
            image: in [-1, 1], canonically oriented.
            shown: the same in its own values (grey [0, 1], HU), as displayed.
            record: how it was made.
        """
        ...


def name(record: dict[str, Any]) -> str:
    return f"{record['seed']:04d}-{record['index']:06d}"


class Png:
    """16-bit grey, as displayed."""

    def __init__(self, out: Path, modality: str, date: str) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{name(record)}.png"
        text = {"Comment": write.COMMENT, "Provenance": json.dumps(record)}
        save_png(sixteen_bit(shown.pixels), self.out / file, text)
        return file


class Npy:
    """float32 in [-1, 1], canonically oriented: exactly what the network made."""

    def __init__(self, out: Path, modality: str, date: str) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{name(record)}.npy"
        with new_file(self.out / file) as temporary, temporary.open("wb") as handle:
            np.save(handle, image.pixels.astype(np.float32))
        return file


class Nifti:
    """HU as int16, other values as float32; upright in any viewer."""

    def __init__(self, out: Path, modality: str, date: str) -> None:
        self.out, self.whole_numbers = out, modality == "chest_ct"

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{name(record)}.nii.gz"
        voxels = np.rint(shown.pixels).astype(np.int16) if self.whole_numbers else shown.pixels
        nifti.write(self.out / file, voxels, _known(shown, "NIfTI"), record)
        return file


class Mammograms:
    """Digital Mammography X-Ray Image: the k-th image of each view and laterality makes study k."""

    def __init__(self, out: Path, modality: str, date: str) -> None:
        self.out, self.date = out, date
        self.studies: Counter[tuple[str, ...]] = Counter()

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        missing = [fact for fact in ("view_position", "laterality") if fact not in shown.facts]
        if missing:
            raise Refused(
                f"DICOM needs {' and '.join(missing)} and the samples do not say; draw them with"
                f" --condition {missing[0]}=..., or write PNG."
            )
        spacing = _known(shown, "DICOM")
        view, laterality = shown.facts["view_position"], shown.facts["laterality"]
        self.studies[laterality, view] += 1
        subject = _subject(self.studies[laterality, view], record, self.date)
        ds = write_mammogram.instance(shown.pixels, spacing, view, laterality, subject, record)
        file = f"{subject.identifier}/{laterality}{view}.dcm"
        write.save(ds, self.out / file)
        return file


class Series:
    """A classic CT or MR series in a folder of its own; every volume is a study of its own."""

    def __init__(self, out: Path, modality: str, date: str) -> None:
        self.out, self.date, self.code = out, date, SERIES[modality]
        self.count = 0

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        spacing = _known(shown, "DICOM")
        self.count += 1
        subject = _subject(self.count, record, self.date)
        for ds in write_series.instances(shown.pixels, spacing, self.code, subject, record):
            write.save(ds, self.out / subject.identifier / f"{int(ds.InstanceNumber):04d}.dcm")
        return subject.identifier


SERIES = {"chest_ct": "CT", "brain_mri": "MR"}


def writer(to: str, modality: str, out: Path, date: str) -> Writer:
    """The writer of a format for a modality."""
    if to == "dicom":
        return Series(out, modality, date) if modality in SERIES else Mammograms(out, modality, date)
    plain: dict[str, Callable[[Path, str, str], Writer]] = {"png": Png, "npy": Npy, "nifti": Nifti}
    return plain[to](out, modality, date)


def _subject(number: int, record: dict[str, Any], date: str) -> write.Subject:
    return write.Subject(number, "SYNTHETIC", f"{record['snapshot_sha256']} {record['seed']}", date)


def _known(shown: Image, what: str) -> tuple[float, ...]:
    if shown.spacing is None:
        raise Refused(f"{what} needs the spacing and the training images had none; write NPY, or give --spacing.")
    return shown.spacing
