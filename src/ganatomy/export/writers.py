"""One sample to one file, or one series: PNG, NPY, NIfTI, DICOM. All but NPY say that they are synthetic."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ganatomy.dicom import write, write_mammogram
from ganatomy.errors import Refused
from ganatomy.export.instances import PLAIN, Form, Instances, instances, known, side
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import save_png, sixteen_bit
from ganatomy.machine.durable import new_file
from ganatomy.modalities.hanging import VIEWS, hang


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

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{name(record)}.png"
        text = {"Comment": write.COMMENT, "Provenance": json.dumps(record)}
        save_png(sixteen_bit(shown.pixels), self.out / file, text)
        return file


class Npy:
    """float32 in [-1, 1], canonically oriented: exactly what the network made."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{name(record)}.npy"
        with new_file(self.out / file) as temporary, temporary.open("wb") as handle:
            np.save(handle, image.pixels.astype(np.float32))
        return file


class Nifti:
    """HU as int16, other values as float32; upright in any viewer."""

    def __init__(self, out: Path, modality: str) -> None:
        self.out, self.whole_numbers = out, modality == "chest_ct"

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{name(record)}.nii.gz"
        voxels = np.rint(shown.pixels).astype(np.int16) if self.whole_numbers else shown.pixels
        nifti.write(self.out / file, voxels, known(shown, "NIfTI"), record)
        return file


class Hanging:
    """The standard mammographic hanging, one picture a study; views that have not come yet stay dark."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.counts: Counter[tuple[str, str]] = Counter()
        self.studies: dict[int, dict[tuple[str, str], tuple[Image, dict[str, Any]]]] = {}

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        key = side(shown, "The hanging")
        self.counts[key] += 1
        number = self.counts[key]
        study = self.studies.setdefault(number, {})
        study[key] = shown, record
        text = {
            "Comment": write_mammogram.comments(drawn_apart=True),
            "Provenance": json.dumps([made for _, made in study.values()]),
        }
        file = f"study-{number:06d}.png"
        save_png(hang({view: one.pixels for view, (one, _) in study.items()}), self.out / file, text)
        if len(study) == len(VIEWS):
            del self.studies[number]
        return file


class Dicom:
    """The instances of a sample as files; a series in a folder of its own."""

    def __init__(self, out: Path, instances: Instances) -> None:
        self.out, self.instances = out, instances

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        files = []
        for file, ds in self.instances(shown, record):
            write.save(ds, self.out / file, sync=False)  # all together at the end
            files.append(file)
        return files[0] if len(files) == 1 else str(Path(files[0]).parent)


def writer(to: str, modality: str, out: Path, date: str, form: Form) -> Writer:
    """The writer of a format for a modality.

    Raises:
        Refused: the form is for DICOM and the format is not, or the modality has no such object.
    """
    if to == "dicom":
        return Dicom(out, instances(modality, form, date))
    if form != PLAIN:
        raise Refused(f"--enhanced, --secondary-capture and --compress are for DICOM, not for {to}.")
    if to == "nifti":
        return Nifti(out, modality)
    plain: dict[str, Callable[[Path], Writer]] = {"png": Png, "npy": Npy, "hanging": Hanging}
    return plain[to](out)
