"""One sample to one file, or one series: PNG, NPY, NIfTI, DICOM. All but NPY say that they are synthetic."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ganatomy.dicom import write, write_mammogram
from ganatomy.errors import Refused
from ganatomy.export.instances import (
    PLAIN_FORM,
    DicomForm,
    InstanceMaker,
    get_laterality_and_view,
    get_spacing,
    make_instance_maker,
)
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Image
from ganatomy.imaging.pictures import convert_to_uint16, save_png
from ganatomy.machine.durable import new_file
from ganatomy.modalities.hanging import VIEWS, hang_views


class SampleWriter(Protocol):
    """Writes samples of one format into one folder."""

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        """The path below the folder of what was written.

        Args:
            image: in [-1, 1], canonically oriented.
            shown: the same in its own values (grey [0, 1], HU), as displayed.
            record: how it was made.
        """
        ...


def make_file_stem(record: dict[str, Any]) -> str:
    return f"{record['seed']:04d}-{record['index']:06d}"


class PngWriter:
    """16-bit grey, as displayed."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}.png"
        text = {"Comment": write.SYNTHETIC_COMMENT, "Provenance": json.dumps(record)}
        save_png(convert_to_uint16(shown.pixels), self.out / file, text)
        return file


class NpyWriter:
    """float32 in [-1, 1], canonically oriented: exactly what the network made."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}.npy"
        with new_file(self.out / file) as temporary, temporary.open("wb") as handle:
            np.save(handle, image.pixels.astype(np.float32))
        return file


class NiftiWriter:
    """HU as int16, other values as float32; upright in any viewer."""

    def __init__(self, out: Path, modality: str) -> None:
        self.out, self.whole_numbers = out, modality == "chest_ct"

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}.nii.gz"
        voxels = np.rint(shown.pixels).astype(np.int16) if self.whole_numbers else shown.pixels
        nifti.write_nifti(self.out / file, voxels, get_spacing(shown, "NIfTI"), record)
        return file


class HangingWriter:
    """The standard mammographic hanging, one picture a study; views that have not come yet stay dark."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.counts: Counter[tuple[str, str]] = Counter()
        self.studies: dict[int, dict[tuple[str, str], tuple[Image, dict[str, Any]]]] = {}

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        key = get_laterality_and_view(shown, "The hanging")
        self.counts[key] += 1
        number = self.counts[key]
        study = self.studies.setdefault(number, {})
        study[key] = shown, record
        text = {
            "Comment": write_mammogram.make_comments(drawn_apart=True),
            "Provenance": json.dumps([made for _, made in study.values()]),
        }
        file = f"study-{number:06d}.png"
        save_png(hang_views({view: one.pixels for view, (one, _) in study.items()}), self.out / file, text)
        if len(study) == len(VIEWS):
            del self.studies[number]
        return file


class DicomWriter:
    """The instances of a sample as files; a series in a folder of its own."""

    def __init__(self, out: Path, instances: InstanceMaker) -> None:
        self.out, self.instances = out, instances

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        files = []
        for file, ds in self.instances(shown, record):
            write.save_dataset(ds, self.out / file, sync=False)  # all together at the end
            files.append(file)
        return files[0] if len(files) == 1 else str(Path(files[0]).parent)


def make_writer(to: str, modality: str, out: Path, date: str, form: DicomForm) -> SampleWriter:
    """The writer of a format for a modality.

    Raises:
        Refused: the form is for DICOM and the format is not, or the modality has no such object.
    """
    if to == "dicom":
        return DicomWriter(out, make_instance_maker(modality, form, date))
    if form != PLAIN_FORM:
        raise Refused(f"--enhanced, --secondary-capture and --compress are for DICOM, not for {to}.")
    if to == "nifti":
        return NiftiWriter(out, modality)
    plain: dict[str, Callable[[Path], SampleWriter]] = {"png": PngWriter, "npy": NpyWriter, "hanging": HangingWriter}
    return plain[to](out)
