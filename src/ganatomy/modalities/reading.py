"""Reading of a candidate to its image on the grid, as `prepare` does it for every modality."""

from ganatomy.imaging.image import Image
from ganatomy.imaging.person import Person
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine.limits import Limits
from ganatomy.modalities.modality import Candidate, Modality


def read_to_grid(modality: Modality, candidate: Candidate, limits: Limits | None = None) -> tuple[Image, Person]:
    """Read, check (`Modality.check_image`) and normalise a candidate to [-1, 1] on the grid; return it and its person.

    Raises:
        UnusableImage: the candidate cannot be used; the message says why.
    """
    with reading_sandbox(candidate.paths, limits):
        image, person = modality.read(candidate)
        return modality.normalise(modality.check_image(image, candidate)), person
