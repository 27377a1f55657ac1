"""The layout of HA-GAN's official code: ``G_iterN.pth``, ``D_iterN.pth``, ``E_iterN.pth``, ``Sub_E_iterN.pth``.

Each file is a dictionary with the weights in ``model``; ``optimizer`` is ignored. The numbers of the convolutions count
from 256 cubed, so those of a model of 128 cubed begin with two (Sun 2022).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ganatomy.errors import Refused
from ganatomy.importing.layout import Found, Layout, Part, Slot
from ganatomy.importing.weights_file import select_tensors
from ganatomy.pyramid import format_shape
from ganatomy.recipes.changes import change_recipe
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps import hierarchy

SHAPES = ((256, 256, 256), (128, 128, 128))
CLIP_HU = (-1024.0, 600.0)  # HU range of the official preprocessing
WIDEST_FACTOR = 8  # channels of the first block divided by those of the features
HALVINGS_AT_256 = 6  # halvings of an image before the last kernel, at 256 cubed

# The generator's blocks of a convolution `tp_conv` and a normalisation `bn`, and its single convolutions.
GENERATOR_BLOCKS = {
    **{(f"tp_conv{i + 1}", f"bn{i + 1}"): f"common.blocks.{i}" for i in range(5)},
    **{(f"sub_G.tp_conv{i + 1}", f"sub_G.bn{i + 1}"): f"low.blocks.{i}" for i in range(2)},
}
GENERATOR_LAYERS = {
    "fc1": "common.dense",
    "tp_conv6": "high.hidden",
    "bn6": "high.norm",
    "tp_conv7": "high.head",
    "sub_G.tp_conv3": "low.head",
}


class HAGANLayout(Layout):
    """Where each tensor of the four files of the official code belongs in `hagan-2022`   (Sun 2022)."""

    value_ranges: Mapping[str, tuple[float, float]] = {"chest_ct": CLIP_HU}

    def list_networks(self, content: Any) -> list[dict[str, Tensor]]:
        held = content["model"] if isinstance(content, Mapping) and "model" in content else content
        return [tensors] if (tensors := select_tensors(held)) else []

    def fit_recipe(self, recipe: Recipe, generator: Found) -> Recipe:
        if recipe.shape not in SHAPES:
            sizes = " or ".join(format_shape(shape) for shape in SHAPES)
            raise Refused(f"The official HA-GAN makes volumes of {sizes}, not of {format_shape(recipe.shape)}.")
        dense = generator.tensors.get("fc1.weight")
        if dense is None or dense.ndim != 2:
            return recipe  # `convert_tensors` then names all wrong tensors
        classes = dense.shape[1] - recipe.latent
        if classes != recipe.condition_space.width:
            named = ", ".join(f"{n}={','.join(values)}" for n, values in recipe.conditions.items()) or "none"
            raise Refused(
                f"{generator.file} is a generator with {classes} classes, and the conditions given are {named}; name"
                " every class in order: --condition NAME=VALUE,VALUE,... (none for a generator without classes)."
            )
        features = len(dense) // (WIDEST_FACTOR * 4 ** len(recipe.shape))
        return change_recipe(recipe, {f"networks.{role}.features": features for role in recipe.networks})

    def list_parts(self, recipe: Recipe) -> dict[str, Part]:
        return {
            "generator": _describe_generator(),
            "discriminator": _describe_discriminator(recipe),
            "high_encoder": Part(
                tuple(_list_blocks({(f"conv{i + 1}", f"bn{i + 1}"): f"blocks.{i}" for i in range(3)}))
            ),
            "ground_encoder": _describe_ground_encoder(recipe),
        }


def _list_layer(theirs: str, ours: str) -> Iterator[Slot]:
    for kind in ("weight", "bias"):
        yield Slot(f"{theirs}.{kind}", f"{ours}.{kind}")


def _list_blocks(blocks: Mapping[tuple[str, str], str]) -> Iterator[Slot]:
    for (convolution, norm), ours in blocks.items():
        yield from _list_layer(convolution, f"{ours}.conv")
        yield from _list_layer(norm, f"{ours}.norm")


def _describe_generator() -> Part:
    layers = (slot for theirs, ours in GENERATOR_LAYERS.items() for slot in _list_layer(theirs, ours))
    return Part((*_list_blocks(GENERATOR_BLOCKS), *layers))


def _describe_discriminator(recipe: Recipe) -> Part:
    """Describe layers with spectral normalisation; ``u0`` is the vector of the iteration, ``sv0`` is only logged."""
    high = hierarchy.count_halvings(recipe.shape)
    low = hierarchy.count_halvings(hierarchy.compute_low_shape(recipe.shape))
    first = HALVINGS_AT_256 + 1 - high
    widths = {f"conv{first + i}": f"high.tower.convs.{i}" for i in range(high)}
    layers = {
        **widths,
        f"conv{HALVINGS_AT_256 + 1}": "high.tower.head",
        "fc1": "high.dense",
        "fc2": "high.score",
        **({"fc2_class": "high.labels"} if recipe.condition_space.label_width else {}),
        **{f"sub_D.conv{first + i}": f"low.convs.{i}" for i in range(low)},
        f"sub_D.conv{first + low}": "low.head",
    }
    slots = [slot for theirs, ours in layers.items() for slot in _list_layer(theirs, ours)]
    outputs = _count_outputs(recipe, "discriminator")
    slots += [Slot(f"{theirs}.u0", f"{ours}.u", (1, outputs[ours])) for theirs, ours in layers.items()]
    return Part(tuple(slots), frozenset(f"{theirs}.sv0" for theirs in layers))


def _count_outputs(recipe: Recipe, role: str) -> dict[str, int]:
    """Count the outputs of every layer with weights of a network, by name."""
    return {
        name.removesuffix(".weight"): len(tensor)
        for name, tensor in recipe.build_meta_networks()[role].state_dict().items()
        if name.endswith(".weight")
    }


def _describe_ground_encoder(recipe: Recipe) -> Part:
    """Describe the blocks and the last convolution, whose kernel covers its input, so that ours is a dense layer."""
    low = hierarchy.compute_low_shape(recipe.shape)
    count = hierarchy.count_halvings(low)
    first = HALVINGS_AT_256 + 1 - hierarchy.count_halvings(recipe.shape)
    blocks = {(f"conv{first + i}", f"bn{first + i}"): f"blocks.{i}" for i in range(count)}
    rest = tuple(n // 2**count for n in low)
    last = _count_outputs(recipe, "ground_encoder")[f"blocks.{count - 1}.conv"]
    head = f"conv{first + count}"
    return Part(
        (
            *_list_blocks(blocks),
            Slot(f"{head}.weight", "head.weight", (recipe.latent, last, *rest)),
            Slot(f"{head}.bias", "head.bias"),
        )
    )
