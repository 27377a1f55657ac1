"""What chest CT and brain MRI share: finding cases among DICOM series and NIfTI files, and reading them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ganatomy.dicom import series
from ganatomy.dicom.read import is_dicom
from ganatomy.errors import Refused
from ganatomy.imaging import nifti
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.folder import list_files
from ganatomy.modalities.modality import Candidate
from ganatomy.pyramid import Shape
from ganatomy.steps import hierarchy

MIN_VOXELS_PER_AXIS = 8  # voxels an axis of a source; a thinner one is no volume
LARGEST_ENLARGEMENT = 6.0  # an axis that would be enlarged more holds too little


@dataclass(frozen=True)
class VolumeModality:
    """Candidates, labels and reading of volumes; a modality adds its code, its values and its grid.

    Args:
        facts: a table with a column ``file`` (NIfTI file or folder of a series) and the facts to condition on, each
            named by ``--column NAME=COLUMN``, or given for all by ``--fact NAME=VALUE``; a column ``patient`` tells
            which files are of one person.
        shape: voxels per axis of the grid: upwards, backwards, to the left.
    """

    facts: FactSource = field(default_factory=FactSource)
    shape: Shape = (128, 128, 128)

    free_conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict, init=False)
    formats = ("nifti", "npy", "dicom")

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or not hierarchy.fits_hierarchy(self.shape):
            raise Refused(
                f"--shape {','.join(map(str, self.shape))}: give three multiples of {hierarchy.AXIS_MULTIPLE}, such as"
                " 128,128,128."
            )

    @property
    def conditions(self) -> Mapping[str, tuple[str, ...]]:
        """The named facts; their values are those that are found."""
        return {name: () for name in {**self.facts.columns, **self.facts.constants} if name != "patient"}

    def list_candidates(self, raw: Path) -> list[Candidate]:
        """Every NIfTI file and every series below `raw`, and every other file by itself, in a fixed order.

        Raises:
            Refused: the folder is missing or has no file, or the table of facts cannot be read.
        """
        table = self.facts.read_facts(raw)
        found = list_files(raw)
        names = dict(found)
        dicom = [path for path, _ in found if not nifti.is_nifti(path) and is_dicom(path)]
        sliced = set(dicom)
        groups: list[list[Path]] = [[path] for path in names if path not in sliced] + series.group_files(dicom)
        groups.sort(key=lambda group: names[group[0]])
        return [
            Candidate(tuple(group), name, {**self.facts.constants, **table.get(name, {})})
            for group, name in zip(groups, _name_groups(groups, raw), strict=True)
        ]

    def read_labelled_volume(self, candidate: Candidate, dicom_modality: str) -> tuple[Image, str]:
        """The volume in its own values, canonically oriented, with its labels, and who it is of.

        Args:
            modality: DICOM's code, ``CT`` or ``MR``.

        Raises:
            Unusable: the message says why.
        """
        try:
            if nifti.is_nifti(candidate.path):
                found, who = nifti.read_nifti(candidate.path), candidate.name
            elif is_dicom(candidate.path):
                found, who = series.read_volume(candidate.paths, dicom_modality)
            else:
                raise UnusableImage("not an image file", "neither DICOM nor NIfTI")
        except OSError as error:
            raise UnusableImage("not readable", error.strerror or "") from error
        labels = {name: candidate.facts.get(name, "") for name in self.conditions}
        if missing := [name for name, value in labels.items() if not value]:
            raise UnusableImage("no label", f"the table of facts gives no {missing[0]} for {candidate.name}")
        voxels, spacing, oblique = found
        if min(voxels.shape) < MIN_VOXELS_PER_AXIS:
            raise UnusableImage(
                "too small", f"{voxels.shape}; {MIN_VOXELS_PER_AXIS} voxels an axis are needed at least"
            )
        image = Image(voxels, spacing, labels, {"oblique_degrees": oblique})
        return image, candidate.facts.get("patient") or who


def check_enlargement(shape: Shape, grid_shape: Shape) -> None:
    """Refuse a source that holds too little for the grid.

    Raises:
        Unusable: an axis would be enlarged too much.
    """
    times = max(target / n for n, target in zip(shape, grid_shape, strict=True))
    if times > LARGEST_ENLARGEMENT:
        raise UnusableImage("too small", f"{shape} voxels for a grid of {grid_shape}: enlarged {times:.1f} times")


def _name_groups(groups: list[list[Path]], raw: Path) -> list[str]:
    """A file's own name; a series is called by its folder, with a number when the folder holds several."""
    series_in = Counter(group[0].parent for group in groups if len(group) > 1)
    seen: Counter[Path] = Counter()
    found = []
    for group in groups:
        folder = group[0].parent
        if len(group) == 1:
            found.append(group[0].relative_to(raw).as_posix())
            continue
        seen[folder] += 1
        name = folder.relative_to(raw).as_posix()
        found.append(name if series_in[folder] == 1 else f"{name}#{seen[folder]}")
    return found
