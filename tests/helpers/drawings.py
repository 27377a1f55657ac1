"""Small pictures that pass for mammograms, and the facts that they need."""

import numpy as np
from PIL import Image as Pillow

from ganatomy.modalities.facts import FactSource

FACTS = FactSource(constants={"view_position": "CC", "laterality": "L", "chest_wall": "left"})


def draw(path, number):
    """A PNG of 80 x 64 under any name: a half disc at the left edge, another one for every number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.indices((80, 64)) / 80
    pixels = np.where((y - 0.5) ** 2 + x**2 < 0.2, 60 + 3 * number + 100 * y, 0)
    Pillow.fromarray(pixels.astype(np.uint8)).save(path, format="png")
