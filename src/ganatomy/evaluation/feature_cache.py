"""Features of real images, kept in the store by the content of each image, so that none is looked at twice."""

import os
import zipfile
from pathlib import Path

import numpy as np

from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, extract_features
from ganatomy.evaluation.images.sets import RealImages
from ganatomy.machine.durable import new_file
from ganatomy.pyramid import format_shape

CACHE_FOLDER = "features"  # within the store, so that what is derived from patients stays with them


def get_features(extractor: Extractor, reals: RealImages, what: str) -> FeatureRows:
    """Features of real images (images, dimensions); those seen before by the same extractor at this level are read."""
    path = reals.store.path / CACHE_FOLDER / f"{extractor.name}-{extractor.digest[:16]}-{format_shape(reals.shape)}.npz"
    known = _read_cache(path)
    missing = [case for case in reals.cases if case["pixels"] not in known]
    if missing:
        rows = extract_features(extractor, reals.select_cases(missing), len(missing), what)
        known |= {case["pixels"]: row for case, row in zip(missing, rows, strict=True)}
        if os.access(reals.store.path, os.W_OK):  # a store may lie on a disk that is not ours to write on
            with new_file(path) as temporary, temporary.open("wb") as handle:
                np.savez(handle, pixels=np.array(list(known)), features=np.stack(list(known.values())))
    return np.stack([known[case["pixels"]] for case in reals.cases])


def _read_cache(path: Path) -> dict[str, FeatureRows]:
    """Features by the hash of the image's pixels; nothing where the file is absent or damaged: it is made again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return dict(zip(kept["pixels"].tolist(), kept["features"], strict=True))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}
