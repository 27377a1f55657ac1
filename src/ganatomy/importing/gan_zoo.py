"""The layout of progressive GANs of pytorch_GAN_zoo, which medigan's progressive GANs use too (Karras 2018).

One file contains ``config``, the program's settings, and ``netG``, ``netD`` and ``avgG``: generator, discriminator and
moving average of the generator. There are two differences to our networks. pytorch_GAN_zoo multiplies the output of a
layer, including the bias, by the equalising constant, and ours scale only the weights. Its first layer has one bias
per voxel.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ganatomy.errors import Refused
from ganatomy.importing.layout import Found, Layout, Part, Slot
from ganatomy.importing.weights_file import select_tensors
from ganatomy.machine import progress
from ganatomy.networks.progressive import ProgressiveGenerator, count_features
from ganatomy.nn.equalised import HE_GAIN
from ganatomy.pyramid import compute_pyramid, format_shape
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Recipe

SETTINGS = "models.utils.config.BaseConfig"  # the class of ``config``, which consists of attributes
FIRST_GAIN = 4  # gain of the file's first layer divided by that of ours, which is that of the official code
REQUIRED = {"leakyReluLeak": 0.2, "perChannelNormalization": True, "equalizedlR": True, "alpha": 0}
TELLING = {"formatLayer.weight": -1, "toRGBLayers.0.weight": 0}  # axes whose sizes are the numbers of inputs, channels
BOUNDED_LOSS = "DCGAN"  # with this loss, the generator ends in a tanh


class _Settings:
    """Replaces the class of the settings while a file is read; holds the attributes that the file sets."""


class GANZooLayout(Layout):
    """Where each tensor of pytorch_GAN_zoo's progressive networks belongs in `pggan-mammogram`   (Karras 2018)."""

    containers: Mapping[str, type] = {SETTINGS: _Settings}

    def list_networks(self, content: Any) -> list[dict[str, Tensor]]:
        if not isinstance(content, Mapping):
            return []
        _check_settings(content.get("config", {}))
        generator = select_tensors(content.get("avgG", content.get("netG")))
        discriminator = select_tensors(content.get("netD"))
        if discriminator and not _sees_deviation(discriminator):
            progress.say("The file's discriminator has no minibatch standard deviation and is not imported.")
            discriminator = {}
        return [tensors for tensors in (generator, discriminator) if tensors]

    def fit_recipe(self, recipe: Recipe, generator: Found) -> Recipe:
        if len(recipe.shape) != 2 or compute_pyramid(recipe.shape)[0] != (4, 4):
            raise Refused(
                f"pytorch_GAN_zoo makes square images with sides of 4, 8, 16, ... pixels, not"
                f" {format_shape(recipe.shape)}; give the shape of its images."
            )
        if absent := [name for name in TELLING if name not in generator.tensors]:
            raise Refused(f"{generator.file} is not a generator of pytorch_GAN_zoo: it lacks {', '.join(absent)}.")
        inputs, channels = (generator.tensors[name].shape[axis] for name, axis in TELLING.items())
        widths = _list_widths(generator.tensors)
        if len(widths) != len(compute_pyramid(recipe.shape)):
            side = 4 * 2 ** (len(widths) - 1)
            raise Refused(f"{generator.file} makes images of {side}x{side}, not of {format_shape(recipe.shape)}.")
        if channels != 1:
            raise Refused(
                f"{generator.file} makes images with {channels} channels; only generators of grey images (1 channel)"
                " can be imported."
            )
        if inputs <= recipe.condition_space.width:
            raise Refused(
                f"{generator.file} has {inputs} inputs, but --condition names {recipe.condition_space.width} classes;"
                " give only the classes of this model."
            )
        if (width := _find_width(widths)) is None:
            told = ", ".join(map(str, widths))
            raise Refused(
                f"{generator.file} has {told} feature maps by level; only min(width / 2^(level + 1), widest) feature"
                " maps can be imported."
            )
        changes: dict[str, Any] = {
            f"networks.{role}.{name}": n for role in recipe.networks for name, n in width.items()
        }
        changes |= {"networks.generator.base_bias": "voxel", "networks.discriminator.pool_first": False}
        return change_recipe(recipe, {**changes, "latent": inputs - recipe.condition_space.width})

    def list_parts(self, recipe: Recipe) -> dict[str, Part]:
        config = recipe.networks["generator"]
        assert isinstance(config, ProgressiveGenerator)
        levels = len(compute_pyramid(recipe.shape))
        widths = [count_features(level, config.width, config.widest) for level in range(levels)]
        return {"generator": _describe_generator(recipe, widths), "discriminator": _describe_discriminator(widths)}


def _check_settings(settings: Any) -> None:
    """Check that our networks can compute the function of the model.

    Raises:
        Refused: a setting of the file requires another function.
    """
    held = settings if isinstance(settings, Mapping) else vars(settings)
    for name, wanted in REQUIRED.items():
        if held.get(name, wanted) != wanted:
            raise Refused(f"The file's setting {name} is {held[name]}, and only {wanted} can be imported.")
    if held.get("lossCriterion") == BOUNDED_LOSS:
        raise Refused(
            f"The file's model was trained with the loss {BOUNDED_LOSS}, so its generator ends in a tanh; only"
            " generators without a tanh can be imported."
        )


def _sees_deviation(discriminator: Mapping[str, Tensor]) -> bool:
    """Whether the last convolution has one input more than outputs, for the minibatch standard deviation."""
    weight = discriminator.get("groupScaleZero.0.weight")
    return weight is None or weight.ndim < 2 or weight.shape[1] == len(weight) + 1


def _list_widths(tensors: Mapping[str, Tensor]) -> list[int]:
    """List the feature maps by level, which are the inputs of the layers to the image."""
    names = (f"toRGBLayers.{level}.weight" for level in itertools.count())
    return [tensors[name].shape[1] for name in itertools.takewhile(tensors.__contains__, names)]


def _find_width(widths: list[int]) -> dict[str, int] | None:
    """Find the settings `width` and `widest` of a network with these feature maps; None if there are none."""
    for level in range(len(widths)):
        width = {"width": widths[level] * 2 ** (level + 1), "widest": widths[0]}
        if [count_features(each, **width) for each in range(len(widths))] == widths:
            return width
    return None


def _list_layer(theirs: str, ours: str, fan_in: int, gain: float = 1.0) -> Iterator[Slot]:
    """Yield the slots of a layer: its weight is multiplied by `gain`, its bias by the file's constant √(2 / fan in)."""
    yield Slot(f"{theirs}.weight", f"{ours}.weight", scale=gain)
    yield Slot(f"{theirs}.bias", f"{ours}.bias", scale=HE_GAIN / math.sqrt(fan_in))


def _describe_generator(recipe: Recipe, widths: list[int]) -> Part:
    inputs, first = recipe.latent + recipe.condition_space.width, widths[0]
    slots = [
        Slot("formatLayer.weight", "blocks.0.dense.weight", scale=FIRST_GAIN),
        Slot("formatLayer.bias", "blocks.0.bias", (16 * first,), HE_GAIN / math.sqrt(inputs)),
        *_list_layer("groupScale0.0", "blocks.0.conv", 9 * first),
    ]
    for level in range(1, len(widths)):
        below, here = widths[level - 1], widths[level]
        slots += _list_layer(f"scaleLayers.{level - 1}.0", f"blocks.{level}.up", 9 * below)
        slots += _list_layer(f"scaleLayers.{level - 1}.1", f"blocks.{level}.conv", 9 * here)
    for level, width in enumerate(widths):
        slots += _list_layer(f"toRGBLayers.{level}", f"to_image.{level}", width, HE_GAIN)
    return Part(tuple(slots))


def _describe_discriminator(widths: list[int]) -> Part:
    first = widths[0]
    slots = [
        *_list_layer("groupScaleZero.0", "blocks.0.conv", 9 * (first + 1)),
        *_list_layer("groupScaleZero.1", "blocks.0.dense", 16 * first),
        *_list_layer("decisionLayer", "blocks.0.head", first, HE_GAIN),
    ]
    for level in range(1, len(widths)):
        here = widths[level]
        slots += _list_layer(f"scaleLayers.{level - 1}.0", f"blocks.{level}.conv", 9 * here)
        slots += _list_layer(f"scaleLayers.{level - 1}.1", f"blocks.{level}.down", 9 * here)
    for level in range(len(widths)):
        slots += _list_layer(f"fromRGBLayers.{level}", f"from_image.{level}", 1)
    return Part(tuple(slots))
