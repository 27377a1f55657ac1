"""Signatures of what is exported: of DICOM instances by the standard's own, of pictures by C2PA manifests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset

from ganatomy.dicom.instances import InstanceMaker
from ganatomy.dicom.signature import sign_dataset
from ganatomy.errors import Refused
from ganatomy.imaging.credentials import check_installed, sign_picture
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import TRAINED
from ganatomy.machine.signing_key import SigningKey, read_signing_key
from ganatomy.modalities.modality import SampleWriter

UNSIGNED_FORMATS = ("nifti", "npy")  # no standard signs them


def read_key_for(path: Path | None, to: str) -> SigningKey | None:
    """Read the key of an export before anything is written; None if none is given.

    Args:
        path: the file of the key.
        to: name of the format, or ``dicom`` for an archive.

    Raises:
        Refused: the key cannot be read or does not fit the format, the format is never signed, or a package is missing.
    """
    if path is None:
        return None
    if to in UNSIGNED_FORMATS:
        raise Refused(
            f"--sign-key signs DICOM and PNG; there is no signature for {to}. Omit it, or choose another --to."
        )
    key = read_signing_key(path)
    if to == "dicom":
        if not key.is_rsa:
            raise Refused(f"--sign-key {path}: the signature of DICOM (PS3.15 C.2) needs a key of RSA; give one.")
    else:
        check_installed()
    return key


class SigningMaker:
    """Signs the instances that another maker makes."""

    def __init__(self, instances: InstanceMaker, key: SigningKey) -> None:
        self.instances, self.key = instances, key

    def __call__(self, shown: Image, record: dict[str, Any]) -> Iterator[tuple[str, Dataset]]:
        for file, ds in self.instances(shown, record):
            sign_dataset(ds, self.key)
            yield file, ds


class SigningWriter:
    """Signs the pictures that another writer writes."""

    def __init__(self, write: SampleWriter, out: Path, key: SigningKey) -> None:
        self.write, self.out, self.key = write, out, key

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        file = self.write(image, shown, record)
        sign_picture(self.out / file, self.key, TRAINED)
        return file
