"""Reading of a candidate to its image on the grid, as `prepare` does it for every modality."""

from dataclasses import replace
from pathlib import Path

from ganatomy.channels import list_label_names
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.person import Person
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine.limits import Limits
from ganatomy.modalities.label_maps import make_shares, read_classes
from ganatomy.modalities.modality import Candidate, Modality


def read_to_grid(modality: Modality, candidate: Candidate, limits: Limits | None = None) -> tuple[Image, Person]:
    """Read, check (`Modality.check_image`) and normalise a candidate to [-1, 1] on the grid; return it and its person.

    Raises:
        UnusableImage: the candidate cannot be used; the message says why.
    """
    if not candidate.images:
        raise UnusableImage("mask without image", "no image has it, by the patterns of --labels")
    alone = replace(candidate, paths=candidate.images, masks=())
    with reading_sandbox(candidate.paths, limits):
        image, person = modality.read(alone)
        checked = modality.check_image(image, alone)
        if not modality.labels.rules:
            return modality.normalise(checked), person
        return _normalise_pair(modality, checked, alone, candidate.masks), person


def _normalise_pair(modality: Modality, image: Image, alone: Candidate, masks: tuple[tuple[Path, ...], ...]) -> Image:
    """Normalise an image and bring its label map to the grid by the same geometry.

    Raises:
        UnusableImage: the image or a mask cannot be used.
    """
    names = list_label_names(modality.labels.channels)
    numbers, doubts = read_classes(modality.labels, masks, lambda path: modality.read_mask(path, image, alone))
    placed = modality.normalise(image)
    shares = make_shares(numbers, len(names) - 1, lambda one: modality.fit_to_grid(one, placed.geometry))
    return placed.copy_with(shares=shares, classes=names, doubts=(*placed.doubts, *doubts))
