"""Folders of samples to send, without a network: what `sample` would have left."""

import numpy as np

from ganatomy.exporting.export import write_samples
from ganatomy.imaging.image import Image

RECORD = {"generator": "test", "kimg": 1.0, "trained_on": "f" * 64, "seed": 0, "truncation": None}
SNAPSHOTS = {"mammogram": "a" * 64, "chest_ct": "b" * 64, "brain_mri": "c" * 64}
VIEWS = (("CC", "R"), ("MLO", "R"), ("CC", "L"), ("MLO", "L"))
SHAPE, SPACING = (12, 36, 40), (2.0, 1.5, 1.0)


def breast(number, shape=(80, 64)):
    """A half disc at the left edge in [-1, 1], with a corner that no mirroring keeps, another one for every number."""
    y, x = np.indices(shape) / shape[0]
    inside = (y - 0.5) ** 2 + x**2 < 0.2
    pixels = np.where(inside, 0.3 + 0.4 * y + 0.01 * number, 0) * 2 - 1
    return Image(pixels.astype(np.float32), (0.25, 0.25))


def thorax(number):
    """An ellipsoid of tissue in air in [-1, 1], brighter upwards, backwards and to the left by different steps."""
    z, y, x = np.indices(SHAPE)
    inside = ((z - 6) / 6) ** 2 + ((y - 18) / 14) ** 2 + ((x - 20) / 15) ** 2 < 1
    values = np.where(inside, -0.4 + 0.05 * z + 0.01 * y + 0.005 * x + 0.01 * number, -1)
    return Image(values.astype(np.float32), SPACING)


def mammograms(folder, n=4):
    """Samples of mammograms, the four views in turn."""

    def drawn():
        for i in range(n):
            view, laterality = VIEWS[i % 4]
            facts = {"view_position": view, "laterality": laterality}
            record = RECORD | {"snapshot_sha256": SNAPSHOTS["mammogram"], "index": i} | facts
            yield breast(i).copy_with(facts=facts), record

    write_samples(drawn(), n, "mammogram", folder, "png", "20260102")
    return folder


def volumes(folder, modality, n=1):
    """Samples of volumes."""
    drawn = ((thorax(i), RECORD | {"snapshot_sha256": SNAPSHOTS[modality], "index": i}) for i in range(n))
    write_samples(drawn, n, modality, folder, "nifti", "20260102")
    return folder
