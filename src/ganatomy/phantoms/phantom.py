"""Kinds of phantoms: their shapes and formats, and how one phantom patient is written to files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ganatomy.channels import BACKGROUND
from ganatomy.dicom import write, write_mammogram, write_series
from ganatomy.dicom.volume_class import VolumeClass
from ganatomy.errors import Refused
from ganatomy.imaging import nifti
from ganatomy.imaging.marking import CLASSES, mark_phantom
from ganatomy.modalities.table import get_modality
from ganatomy.phantoms import breast
from ganatomy.phantoms.mammogram import make_mammogram
from ganatomy.phantoms.thorax import PhantomVolume
from ganatomy.pyramid import Shape
from ganatomy.steps.hierarchy import fits_hierarchy

LABEL_ENDING = "_labels"  # of the name of a label map, behind that of its image
STUDY_DATE = "20260101"  # the same for all phantom studies, so that the same seed gives the same files


class Phantom(Protocol):
    """A kind of phantom patients; each patient is a function of its number and a seed."""

    @property
    def default_shape(self) -> Shape:
        """Pixels or voxels per axis of an image."""
        ...

    def check_request(self, shape: Shape, to: str, labels: bool = False) -> None:
        """Refuse a size, a format or label maps that the phantom does not have.

        Raises:
            Refused: the message lists the available ones.
        """
        ...

    def write_patient(
        self, out: Path, seed: int, shape: Shape, to: str, labels: bool, number: int
    ) -> list[dict[str, Any]]:
        """Write patient `number` below `out`; returns true values per image, with ``file`` and ``patient``.

        Args:
            out: folder of the cohort.
            seed: of the cohort.
            shape: pixels or voxels per axis.
            to: format of the images.
            labels: whether label maps are written beside the images.
            number: of the patient.
        """
        ...


@dataclass(frozen=True)
class MammogramPhantom:
    """Phantom patients with four mammographic views each."""

    default_shape: Shape = (1280, 1024)

    def check_request(self, shape: Shape, to: str, labels: bool = False) -> None:
        if len(shape) != 2 or min(shape) < 32 or shape[0] * 4 != shape[1] * 5:
            raise Refused(
                f"{_name_shape(shape)}: give rows and columns in the ratio 5 to 4, at least 40,32, such as 1280,1024."
            )
        if to != "dicom":
            raise Refused(f"--to {to}: phantom mammograms are written as dicom.")
        if labels:
            raise Refused("--labels: phantom mammograms have no label maps; give chest_ct or brain_mri.")

    def write_patient(
        self, out: Path, seed: int, shape: Shape, to: str, labels: bool, number: int
    ) -> list[dict[str, Any]]:
        subject = _make_subject(number, "mammogram", seed)
        rows = []
        for side in breast.make_breasts(seed, number):
            for view in ("CC", "MLO"):
                made = make_mammogram(side, view, (seed, number, side.laterality == "L", view == "MLO"), shape)
                hung = made.pixels[:, ::-1] if side.laterality == "R" else made.pixels
                record = {
                    "generator": "digital breast phantom",
                    "seed": seed,
                    "patient": number,
                    "view_position": view,
                    "laterality": side.laterality,
                }
                ds = write_mammogram.make_mammogram_instance(
                    np.ascontiguousarray(hung), made.spacing, view, side.laterality, subject, record, drawn_apart=False
                )
                name = f"{subject.identifier}/{side.laterality}{view}.dcm"
                write.save_dataset(ds, out / name)
                truth = made.truth | {"lesions": json.dumps(made.truth["lesions"])}
                rows.append({"file": name, "patient": subject.identifier, **truth})
        return rows


@dataclass(frozen=True)
class VolumePhantom:
    """Phantom patients with one volume each, written as a NIfTI file or as a series in a folder.

    Args:
        modality: name of the modality.
        make: function (key, shape) -> volume; the same key gives the same volume.
        volume_class: kind of its DICOM objects.
    """

    modality: str
    make: Callable[[tuple[int, ...], Shape], PhantomVolume]
    volume_class: VolumeClass
    default_shape: Shape = (128, 128, 128)

    def check_request(self, shape: Shape, to: str, labels: bool = False) -> None:
        if len(shape) != 3 or not fits_hierarchy(shape):
            raise Refused(f"{_name_shape(shape)}: give three multiples of 16, such as 64,64,64.")
        if to not in ("dicom", "nifti"):
            raise Refused(f"--to {to}: phantom volumes are written as dicom or nifti.")
        if labels and to != "nifti":
            raise Refused("--labels: label maps of phantoms are written beside NIfTI volumes; give --to nifti as well.")

    def write_patient(
        self, out: Path, seed: int, shape: Shape, to: str, labels: bool, number: int
    ) -> list[dict[str, Any]]:
        made = self.make((seed, number), shape)
        subject = _make_subject(number, self.modality, seed)
        record = {"generator": f"digital {self.modality} phantom", "seed": seed, "patient": number}
        name = subject.identifier
        if to == "nifti":
            name += ".nii.gz"
            voxels = get_modality(self.modality)().convert_voxels(made.voxels)
            nifti.write_nifti(out / name, voxels, made.spacing, mark_phantom(record))
            if labels:
                mark = mark_phantom({**record, CLASSES: [BACKGROUND, *made.classes]})
                file = out / f"{subject.identifier}{LABEL_ENDING}.nii.gz"
                nifti.write_nifti(file, made.labels, made.spacing, mark, are_labels=True)
        else:
            for ds in write_series.make_series_instances(made.voxels, made.spacing, self.volume_class, subject, record):
                write.save_dataset(ds, out / name / f"{int(ds.InstanceNumber):04d}.dcm")
        return [{"file": name, "patient": subject.identifier, **made.truth}]


def _name_shape(shape: Shape) -> str:
    return f"--shape {','.join(map(str, shape))}"


def _make_subject(number: int, kind: str, seed: int) -> write.Subject:
    """Make the subject of a phantom; other seeds give other persons, and those of seed 0 have plain numbers."""
    return write.Subject(number + 1, "PHANTOM", f"phantom {kind}, seed {seed}", STUDY_DATE, f"s{seed}" if seed else "")
