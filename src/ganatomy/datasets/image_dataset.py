"""What the datasets have in common: image i as a dictionary, for PyTorch, MONAI and TorchIO."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from ganatomy.imaging.image import Image

if TYPE_CHECKING:
    from ganatomy.datasets.forms import MonaiDataset, TorchioDataset

Item = dict[str, Any]
Transform = Callable[[Any], Any]


@dataclass(frozen=True)
class Element:
    """An image of a dataset with what is told of it besides.

    Args:
        image: in [-1, 1], in the orientation of training.
        synthetic: whether a model has made it.
        number: of a real image its row in the store, of a synthetic one its number in its seed.
        patient: pseudonym of the patient; empty for a synthetic image.
    """

    image: Image
    synthetic: bool
    number: int
    patient: str = ""


class ImageDataset(Dataset[Item], ABC):
    """A map-style dataset of images of one modality and one shape. It can be pickled, for the workers of a DataLoader.

    ``dataset[i]`` is a dictionary, which the usual `collate` of PyTorch joins to batches:

    ==============  ===================================================================================================
    ``image``       tensor (1, *shape), float32 in [-1, 1]
    ``mask``        tensor (*shape), int64, with the number of the class of each pixel or voxel, 0 for the background;
                    absent where the images have no label map
    ``facts``       the facts of the image by name, as text
    ``spacing``     tensor of the millimetres along each axis, float32; nan where they are not known
    ``synthetic``   whether a model has made the image
    ``number``      of a real image its row in the store, of a synthetic one its number in its seed
    ``patient``     pseudonym of the patient; empty for a synthetic image
    ==============  ===================================================================================================

    Args:
        transform: applied to the dictionary; None = nothing.
    """

    modality: str
    shape: tuple[int, ...]
    fact_names: tuple[str, ...]  # facts that every image has
    classes: tuple[str, ...] = ()  # of the label maps by number, the background first; none without label maps

    def __init__(self, transform: Transform | None = None) -> None:
        self.transform = transform

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, i: int) -> Element:
        """Image i, from 0 to the length less one, before any transform."""

    def __getitem__(self, i: int) -> Item:
        item = self.make_item(self.find_element(i))
        return item if self.transform is None else self.transform(item)

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))

    def find_element(self, i: int) -> Element:
        """Image i, counted from the end if i is negative.

        Raises:
            IndexError: there is no such image.
        """
        place = i + len(self) if i < 0 else i
        if not 0 <= place < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} images, and image {i} is none of them")
        return self.read(place)

    def make_item(self, element: Element) -> Item:
        """The dictionary of an image."""
        image = element.image
        return {
            "image": torch.from_numpy(image.pixels)[None],
            **({} if (labels := image.labels) is None else {"mask": torch.from_numpy(labels).long()}),
            "facts": {name: image.facts[name] for name in self.fact_names},
            "spacing": torch.tensor(image.spacing or (torch.nan,) * image.pixels.ndim, dtype=torch.float32),
            "synthetic": element.synthetic,
            "number": element.number,
            "patient": element.patient,
        }

    def as_monai(self, transform: Transform | None = None) -> "MonaiDataset":
        """The same images as MONAI's dictionary transforms take them.

        Args:
            transform: of MONAI, applied to the dictionary.

        Raises:
            Refused: MONAI is not installed.
        """
        from ganatomy.datasets.forms import MonaiDataset

        return MonaiDataset(self, transform)

    def as_torchio(self, transform: Transform | None = None) -> "TorchioDataset":
        """The same images as subjects of TorchIO.

        Args:
            transform: of TorchIO, applied to the subject.

        Raises:
            Refused: TorchIO is not installed.
        """
        from ganatomy.datasets.forms import TorchioDataset

        return TorchioDataset(self, transform)
