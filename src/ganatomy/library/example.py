"""The example model that comes with the package: mammograms, trained on phantoms only."""

from pathlib import Path

from ganatomy.errors import Refused

EXAMPLE_FILE = Path(__file__).parents[1] / "models" / "phantom-mammograms.zip"


def get_example_model() -> Path:
    """Return the path of the example model, a bundle as `publish` writes it, with its card in it.

    It generates mammograms of 80 x 64 pixels in the views CC and MLO. No image of a patient was used to train it.
    ``examples/make_example_model.sh`` makes it.

    Raises:
        Refused: the package was installed without it.

    Example:
        >>> import ganatomy
        >>> model = ganatomy.open(ganatomy.get_example_model())
        >>> [image.shape for image in model.sample(2, view_position="CC")]
        [(80, 64), (80, 64)]
    """
    if not EXAMPLE_FILE.exists():
        raise Refused(f"{EXAMPLE_FILE.name} is not part of this installation; give a run, a snapshot or a bundle.")
    return EXAMPLE_FILE
