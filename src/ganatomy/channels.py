"""The channels of a case: what each holds, and which arrays of a store, a batch and a network's output it takes.

A case has one image, and may have a label map. An image takes one array. A label map takes one array for each class,
the background first; they hold the shares of the classes in a voxel, which add up to one. All arrays are in [-1, 1] (a
share of 0 is -1, a share of 1 is 1), so that the networks treat them alike.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, field_validator

from ganatomy.config import Config

BACKGROUND = "background"  # name of the class of all voxels that no other class has
MAX_CLASSES = 32  # besides the background; networks compute an array for each


class ImageChannel(Config):
    """An image, in the values of the modality, which [-1, 1] stands for (`Modality.value_range`).

    Args:
        name: name of the channel.
    """

    kind: Literal["image"] = "image"
    name: str = Field("image", min_length=1)

    sums_to_one: ClassVar[bool] = False  # whether the arrays are shares of one whole
    can_be_shaded: ClassVar[bool] = True  # whether a change of brightness or contrast leaves it what it is

    @property
    def empty_values(self) -> tuple[float, ...]:
        """The value of each array, in [-1, 1], where there is nothing."""
        return (-1.0,)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes of a label map, the background first; none for an image."""
        return ()


class LabelChannel(Config):
    """A label map: each voxel belongs to one class, or to several by shares where voxels are larger than at first.

    Args:
        name: name of the channel.
        classes: names of the classes besides the background, in the order of their numbers, which begin with 1.
    """

    kind: Literal["labels"] = "labels"
    name: str = Field("labels", min_length=1)
    classes: tuple[str, ...] = Field(min_length=1, max_length=MAX_CLASSES)

    sums_to_one: ClassVar[bool] = True
    can_be_shaded: ClassVar[bool] = False

    @field_validator("classes")
    @classmethod
    def _the_classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes) or BACKGROUND in classes or "" in classes:
            raise ValueError(f"each class has a name of its own, and none is {BACKGROUND}")
        return classes

    @property
    def empty_values(self) -> tuple[float, ...]:
        """As for `ImageChannel`: all is background."""
        return (1.0, *[-1.0] * len(self.classes))

    @property
    def label_names(self) -> tuple[str, ...]:
        """As for `ImageChannel`."""
        return (BACKGROUND, *self.classes)


Channel = Annotated[ImageChannel | LabelChannel, Field(discriminator="kind")]
ONE_IMAGE: tuple[Channel, ...] = (ImageChannel(),)


def make_images(n: int) -> tuple[Channel, ...]:
    """Make n image channels with numbered names; one has the name ``image``."""
    return ONE_IMAGE if n == 1 else tuple(ImageChannel(name=f"image {i}") for i in range(1, n + 1))


def _expand_count(given: Any) -> Any:
    """Make image channels of a number, which stands for so many of them; anything else is returned as it is."""
    if not isinstance(given, int):
        return given
    if given < 1:
        raise ValueError("give 1 or more images, or a list of channels")
    return make_images(given)


def _shorten_count(channels: tuple[Channel, ...]) -> int | list[dict[str, Any]]:
    """The inverse of `_expand_count`, in values of JSON: a number where that says all, as in the first release."""
    if channels == make_images(len(channels)):
        return len(channels)
    return [channel.model_dump(mode="json") for channel in channels]


def _check_order(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Check that the first channel is an image, which all that know of one image use, and that names differ."""
    if not channels or channels[0].label_names:
        raise ValueError("the first channel is an image")
    if sum(bool(channel.label_names) for channel in channels) > 1:
        raise ValueError("there is at most one label map, which has all classes")
    if len({channel.name for channel in channels}) < len(channels):
        raise ValueError("each channel has a name of its own")
    return channels


Channels = Annotated[
    tuple[Channel, ...], BeforeValidator(_expand_count), AfterValidator(_check_order), PlainSerializer(_shorten_count)
]


def count_arrays(channels: Channels) -> int:
    """Count the arrays of all channels."""
    return sum(len(channel.empty_values) for channel in channels)


def list_array_axes(channels: Channels) -> tuple[int, ...]:
    """List the length of the axis of arrays; a store whose cases have one array has no such axis."""
    arrays = count_arrays(channels)
    return (arrays,) if arrays > 1 else ()


def place_arrays(channels: Channels) -> Iterator[tuple[Channel, slice]]:
    """Yield each channel with the places of its arrays, in order."""
    start = 0
    for channel in channels:
        stop = start + len(channel.empty_values)
        yield channel, slice(start, stop)
        start = stop


def list_label_names(channels: Channels) -> tuple[str, ...]:
    """List the classes of the label map by number, the background first; none if there is no label map."""
    return next((channel.label_names for channel in channels if channel.label_names), ())


def find_shares(channels: Channels) -> slice:
    """Find the places of the arrays of the label map; an empty slice if there is none."""
    return next((place for channel, place in place_arrays(channels) if channel.label_names), slice(0, 0))


def split_arrays(
    values: NDArray[np.float32], channels: Channels
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Split the arrays of a case (arrays, *shape) into its first image and the shares of its classes.

    Args:
        values: all arrays, in [-1, 1].
        channels: the channels of the case.

    Returns:
        The image (*shape) in [-1, 1]; and the shares (classes, *shape) in [0, 1], or None without a label map.
    """
    shares = values[find_shares(channels)]
    return values[0], (shares + np.float32(1)) / np.float32(2) if len(shares) else None


def describe_channels(channels: Channels) -> str:
    """Describe channels for a message, such as ``1 image and labels of lung, lesion``."""
    images = sum(not channel.label_names for channel in channels)
    told = f"{images} image" if images == 1 else f"{images} images"
    names = list_label_names(channels)[1:]
    return f"{told} and labels of {', '.join(names)}" if names else told
