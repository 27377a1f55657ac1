"""The images of a dataset in the forms of other libraries: dictionaries of MONAI, subjects of TorchIO."""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ganatomy.datasets.image_dataset import ImageDataset, Transform
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.imaging.orientation import Affine, compute_affine

UNKNOWN_SPACING = 1.0  # mm along each axis, where it is not known: what both libraries take for it


class MonaiDataset(Dataset[Any]):
    """Dictionaries with an image as a MetaTensor (1, *shape) with its affine in RAS, and what `ImageDataset` tells.

    A mask is a MetaTensor (1, *shape) of int64 with the same affine.

    Args:
        images: the dataset.
        transform: of MONAI, applied to the dictionary.

    Raises:
        Refused: MONAI is not installed.
    """

    def __init__(self, images: ImageDataset, transform: Transform | None = None) -> None:
        self.images, self.transform = images, transform
        self._make_tensor()

    @staticmethod
    def _make_tensor() -> Any:
        return _import_library("monai.data", "MONAI", "monai").MetaTensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        element = self.images.find_element(i)
        item = self.images.make_item(element)
        affine = torch.from_numpy(_find_affine(element.image))
        meta = {"space": "RAS", "spacing_is_known": element.image.spacing is not None}
        item["image"] = self._make_tensor()(item["image"], affine=affine, meta=dict(meta))
        if "mask" in item:
            item["mask"] = self._make_tensor()(item["mask"][None], affine=affine, meta=dict(meta))
        return item if self.transform is None else self.transform(item)


class TorchioDataset(Dataset[Any]):
    """Subjects whose ``image`` is a ScalarImage, (1, depth, height, width), or (1, height, width, 1) of a picture.

    A ``mask`` is a LabelMap of the same shape.

    Args:
        images: the dataset.
        transform: of TorchIO, applied to the subject.

    Raises:
        Refused: TorchIO is not installed.
    """

    def __init__(self, images: ImageDataset, transform: Transform | None = None) -> None:
        self.images, self.transform = images, transform
        self._import()

    @staticmethod
    def _import() -> Any:
        return _import_library("torchio", "TorchIO", "torchio")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        torchio, element = self._import(), self.images.find_element(i)
        item = self.images.make_item(element)
        affine = _find_affine(element.image)
        image = torchio.ScalarImage(tensor=_add_axes(item.pop("image")), affine=affine)
        masks = {}
        if "mask" in item:
            masks["mask"] = torchio.LabelMap(tensor=_add_axes(item.pop("mask")[None]), affine=affine)
        subject = torchio.Subject(image=image, **masks, **item)
        return subject if self.transform is None else self.transform(subject)


def _add_axes(pixels: Tensor) -> Tensor:
    """Add a last axis to a picture (1, height, width), as TorchIO has volumes only."""
    return pixels if pixels.ndim == 4 else pixels[..., None]


def _find_affine(image: Image) -> Affine:
    """The matrix from indices to millimetres; of an unknown spacing with 1 mm along each axis."""
    return compute_affine(image.shape, image.spacing or (UNKNOWN_SPACING,) * np.ndim(image.pixels))


def _import_library(module: str, name: str, package: str) -> Any:
    """A library that is not among our requirements.

    Raises:
        Refused: it is not installed, or lacks a package that it needs itself.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        lacks = "is not installed" if error.name in (None, package) else f"lacks the package {error.name}"
        raise Refused(f"{name} {lacks}; install it with: pip install {package}") from error
