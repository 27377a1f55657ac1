"""Writers of samples as PNG, NPY, NIfTI or DICOM; all of them mark the image as synthetic."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganatomy.dicom import write
from ganatomy.dicom.instances import PLAIN_FORM, DicomForm, InstanceMaker, get_spacing
from ganatomy.errors import Refused
from ganatomy.exporting.signing import SigningMaker, SigningWriter
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import mark_synthetic
from ganatomy.imaging.npy import write_npy
from ganatomy.imaging.pictures import convert_to_uint16, save_png
from ganatomy.machine.signing_key import SigningKey
from ganatomy.modalities.modality import Modality, SampleWriter


def make_file_stem(record: dict[str, Any]) -> str:
    """File name of a sample without suffix, from its seed and index, such as ``0001-000012``."""
    return f"{record['seed']:04d}-{record['index']:06d}"


class PngWriter:
    """Writes 16-bit grey PNG files, oriented as displayed."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}.png"
        save_png(convert_to_uint16(shown.pixels), self.out / file, mark_synthetic(record))
        return file


class NpyWriter:
    """Writes the network's output as float32 in [-1, 1], canonically oriented, with the mark in a file beside it."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}.npy"
        write_npy(self.out / file, image.pixels, mark_synthetic(record))
        return file


class NiftiWriter:
    """Writes NIfTI files with the modality's type of values; they are upright in any viewer."""

    def __init__(self, out: Path, modality: Modality) -> None:
        self.out, self.modality = out, modality

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = f"{make_file_stem(record)}.nii.gz"
        voxels = self.modality.convert_voxels(shown.pixels)
        nifti.write_nifti(self.out / file, voxels, get_spacing(shown, "NIfTI"), mark_synthetic(record))
        return file


class DicomWriter:
    """Writes the instances of a sample as files; each series has its own folder."""

    def __init__(self, out: Path, instances: InstanceMaker) -> None:
        self.out, self.instances = out, instances

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        files = []
        for file, ds in self.instances(shown, record):
            write.save_dataset(ds, self.out / file, sync=False)  # all files are synchronised at the end
            files.append(file)
        return files[0] if len(files) == 1 else str(Path(files[0]).parent)


def make_writer(
    to: str, modality: Modality, out: Path, date: str, form: DicomForm, key: SigningKey | None = None
) -> SampleWriter:
    """Make the writer of one of the modality's formats; with a key, what it writes is signed.

    Raises:
        Refused: DICOM options are given for another format, or the modality does not have the requested object.
    """
    if to == "dicom":
        instances = modality.dicom.make_instances(form, date)
        return DicomWriter(out, instances if key is None else SigningMaker(instances, key))
    if form != PLAIN_FORM:
        raise Refused(f"--enhanced, --secondary-capture and --compress apply to DICOM, not to {to}.")
    if to == "nifti":
        return NiftiWriter(out, modality)
    writers: dict[str, Callable[[Path], SampleWriter]] = {"png": PngWriter, "npy": NpyWriter, **modality.own_formats}
    return writers[to](out) if key is None else SigningWriter(writers[to](out), out, key)
