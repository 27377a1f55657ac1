"""From a candidate to its image on the grid, whatever its files are: the reading of `prepare`."""

from ganatomy.imaging.image import Image
from ganatomy.imaging.person import Person
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine.limits import Limits
from ganatomy.modalities.modality import Candidate, Modality


def read_to_grid(modality: Modality, candidate: Candidate, limits: Limits | None = None) -> tuple[Image, Person]:
    """The image in [-1, 1] on the modality's grid, looked at (`Modality.check_image`), and who it is of.

    Raises:
        UnusableImage: the candidate cannot serve; the message says why.
    """
    with reading_sandbox(candidate.paths, limits):
        image, person = modality.read(candidate)
        return modality.normalise(modality.check_image(image, candidate)), person
