"""A cache of features by the content of the image, which keeps features of real images in their store."""

import os
import zipfile
from pathlib import Path

import numpy as np

from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, extract_features
from ganatomy.evaluation.images.image_set import ImageSet, ImageSubset
from ganatomy.machine.device import select_device
from ganatomy.machine.durable import new_file
from ganatomy.pyramid import format_shape


class FeatureCache:
    """Features of all images of one report by all its extractors.

    Features are looked up by extractor, level and content of the image, first in memory and then in the set's folder on
    disk. Only images without features in either are processed by the extractor.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, FeatureRows]] = {}

    def get_features(self, extractor: Extractor, images: ImageSet, what: str) -> FeatureRows:
        """Return the features of a set (images, dimensions) in float32.

        Args:
            extractor: the extractor.
            images: the images.
            what: words for the progress bar.
        """
        level = format_shape(images.shape)
        known = self._known.setdefault((extractor.digest, level), {})
        keys = images.digests()
        if not known.keys() >= set(keys):
            file = f"{extractor.name}-{extractor.digest[:16]}-{level}{_describe_computation()}.npz"
            path = None if images.cache_folder is None else images.cache_folder / file
            kept = {} if path is None else _read_file(path)
            known |= kept
            if (new := _extract_missing(known, extractor, images, keys, what)) and path is not None:
                _write_file(path, kept | new)
        return np.stack([known[key] for key in keys])


def _describe_computation() -> str:
    """Describe what the last digits of features depend on besides the extractor; empty for float32 on a CPU."""
    device = select_device(None).type
    return "" if device == "cpu" else f"-{device}-float32"


def _extract_missing(
    known: dict[str, FeatureRows], extractor: Extractor, images: ImageSet, keys: list[str], what: str
) -> dict[str, FeatureRows]:
    """Extract the features that are not known yet, add them to the known features, and return them."""
    places = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
    if not places:
        return {}
    missing = sorted(places.items(), key=lambda item: item[1])
    rows = extract_features(extractor, ImageSubset(images, [i for _, i in missing]), len(missing), what)
    new = {key: row for (key, _), row in zip(missing, rows, strict=True)}
    known |= new
    return new


def _read_file(path: Path) -> dict[str, FeatureRows]:
    """Read features by the hash of the image's pixels; empty if the file is missing or damaged and is made again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return dict(zip(kept["pixels"].tolist(), kept["features"], strict=True))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}


def _write_file(path: Path, rows: dict[str, FeatureRows]) -> None:
    if not os.access(path.parent.parent, os.W_OK):
        return  # the store may be on a disk that is not writable
    with new_file(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, pixels=np.array(list(rows)), features=np.stack(list(rows.values())))
