"""Images from a snapshot: image i of a seed is the same whatever the batch size."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganatomy import randomness
from ganatomy.checkpoint import Snapshot
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.machine.device import select_device as named_device
from ganatomy.modalities import table as modalities
from ganatomy.pyramid import rescale_spacing
from ganatomy.steps.condition import ConditionSpace
from ganatomy.steps.modules import SlabGenerator


def sample(
    snapshot: Snapshot,
    n: int,
    seed: int = 0,
    condition: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
    truncation: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    first: int = 0,
    planes: int | None = None,
) -> Iterator[tuple[Image, dict[str, Any]]]:
    """Draw images one after another, each with the record of how it was made. The arguments are checked at once.

    Args:
        snapshot: where the generator comes from.
        n: how many images.
        seed: image `first + i` of a seed is always the same.
        condition: wanted facts, such as ``{"view_position": "MLO"}``; those not named are taken in turn. Facts that a
            canonical image does not show, such as the laterality of a breast, may be named too. A list has the wanted
            facts of each image.
        truncation: t > 0 = latent numbers within -t to t standard deviations: less variety, fewer failures. None = all.
        batch_size: images a pass on a GPU. On a processor every pass has one image, so that rounding cannot depend on
            the batch.
        device: where to compute; None = a GPU if there is one.
        first: number of the first image.
        planes: make a volume this many planes at a time: the same up to rounding, in bounded memory. None = all.

    Returns:
        An iterator of pairs: the image in [-1, 1], canonically oriented, and its record: snapshot hash, seed, index,
        condition.

    Raises:
        Refused: an unknown fact or value; a number that must be above zero and is not; `planes` that the model cannot
            make.

    Example:
        >>> from pathlib import Path
        >>> import ganatomy
        >>> from ganatomy.checkpoint import find_snapshot, open_snapshot
        >>> snapshot = open_snapshot(find_snapshot(Path("runs/00000-pggan-mammogram")))
        >>> for image, record in ganatomy.sample(snapshot, 2, seed=7, condition={"view_position": "MLO"}):
        ...     print(image.shape, record["seed"], record["index"], record["view_position"])
        (20, 16) 7 0 MLO
        (20, 16) 7 1 MLO
    """
    if n < 1 or batch_size < 1 or (truncation is not None and truncation <= 0):
        raise Refused(f"n={n}, batch_size={batch_size}, truncation={truncation}: all must be above zero.")
    if planes is not None:
        _check_planes(snapshot, planes)
    place = named_device(device)
    wishes = [condition or {}] * n if condition is None or isinstance(condition, Mapping) else list(condition)
    wanted = _choose_facts(snapshot, wishes, range(first, first + n))
    return _generate_images(snapshot, wanted, first, seed, truncation, batch_size, place, planes)


def _check_planes(snapshot: Snapshot, planes: int) -> None:
    fewest = snapshot.recipe.networks["generator"].min_slab_planes
    if fewest is None:
        raise Refused(
            f"--planes {planes}: {snapshot.recipe.name} makes whole images only; leave it out, or sample a model that"
            " makes volumes slab by slab, such as hagan."
        )
    if planes < fewest:
        raise Refused(f"--planes {planes}: give {fewest} or more; {snapshot.recipe.name} makes no thinner slab.")


def regenerate_image(snapshot: Snapshot, record: Mapping[str, Any], device: str | None = None) -> Image:
    """The image that a record tells of: equal on the same processor, to rounding on another.

    Args:
        record: as `sample` gives it; what others have added to it is left aside.

    Raises:
        Refused: the record is not of this snapshot's making.
    """
    if record.get("snapshot_sha256") != snapshot.digest:
        raise Refused("It was made by another snapshot.")
    facts = {name: value for name, value in record.items() if name in _available_facts(snapshot).names}
    made = sample(snapshot, 1, record["seed"], facts, record["truncation"], 1, device, record["index"])
    return next(iter(made))[0]


def decode_codes(
    snapshot: Snapshot, codes: Tensor, facts: Sequence[Mapping[str, str]], device: str | None = None
) -> Iterator[Image]:
    """Images of given latent codes (n, latent) with given facts, one after another, in [-1, 1].

    Raises:
        Refused: an unknown fact or value.
    """
    place = named_device(device)
    generator = snapshot.load_network("generator", place)
    wanted = _choose_facts(snapshot, list(facts), range(len(codes)))
    for z, fact in zip(codes, wanted, strict=True):
        given = snapshot.recipe.condition_space.encode([fact]).to(place)
        with torch.inference_mode():
            made = generator(z[None].to(place), given, snapshot.scope)[0][0, 0].float().cpu().numpy()
        yield Image(np.clip(made, -1, 1), _spacing(snapshot, made.shape), fact)


def _generate_images(
    snapshot: Snapshot,
    requested_facts: list[dict[str, str]],
    first: int,
    seed: int,
    truncation: float | None,
    batch_size: int,
    device: torch.device,
    planes: int | None,
) -> Iterator[tuple[Image, dict[str, Any]]]:
    n = len(requested_facts)
    generator = snapshot.load_network("generator", device)
    scope = snapshot.scope
    size = batch_size if device.type == "cuda" else 1
    for start in range(0, n, size):
        numbers = range(first + start, first + min(start + size, n))
        z = draw_latents(snapshot, seed, numbers, truncation).to(device)
        facts = requested_facts[start : start + size]
        condition = snapshot.recipe.condition_space.encode(facts).to(device)
        with torch.inference_mode():
            if planes is None:
                made = generator(z, condition, scope)[0][:, 0].float().cpu().numpy()
            else:
                slabs = cast(SlabGenerator, generator).generate_slabs(z, condition, planes)
                made = _join_planes(slabs, (len(z), *scope.regions[0].shape))
        for number, fact, one in zip(numbers, facts, made, strict=True):
            yield (
                Image(np.clip(one, -1, 1, out=one), _spacing(snapshot, one.shape), fact),
                {
                    "generator": snapshot.recipe.name,
                    "snapshot_sha256": snapshot.digest,
                    "kimg": snapshot.images / 1000,
                    "trained_on": snapshot.trained_on["fingerprint"],
                    "seed": seed,
                    "index": number,
                    "truncation": truncation,
                    **fact,
                },
            )


def _join_planes(pieces: Iterator[Tensor], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Pieces (batch, 1, planes, *rest) one after another: (batch, *shape)."""
    whole, start = np.empty(shape, dtype=np.float32), 0
    for piece in pieces:
        stop = start + piece.shape[2]
        whole[:, start:stop] = piece[:, 0].cpu().numpy()
        start = stop
    return whole


def draw_latents(snapshot: Snapshot, seed: int, indices: range, truncation: float | None) -> Tensor:
    """Latent codes (batch, latent) of the samples with these numbers.

    Truncation maps the normal numbers monotonously into +- `truncation`, keeping their order: the quantile of each
    within the whole distribution becomes its quantile within the truncated one.
    """
    z = randomness.draw_normal(seed, "sample", indices, snapshot.recipe.latent)
    if truncation is None:
        return z
    tail = 0.5 * math.erfc(truncation / math.sqrt(2))
    return torch.special.ndtri(tail + torch.special.ndtr(z.double()) * (1 - 2 * tail)).float()


def _choose_facts(snapshot: Snapshot, requested_facts: list[Mapping[str, str]], indices: range) -> list[dict[str, str]]:
    """The facts of each sample: those of the model, those it was trained on one value of, and those left free."""
    space = _available_facts(snapshot)
    return [space.choose_facts(wish, number) for wish, number in zip(requested_facts, indices, strict=True)]


def _available_facts(snapshot: Snapshot) -> ConditionSpace:
    """The facts that a sample may have, with their values."""
    free = {**modalities.get_modality(snapshot.modality)().free_conditions, **snapshot.constant_facts}
    return snapshot.recipe.condition_space.add_free_facts(free)


def _spacing(snapshot: Snapshot, shape: tuple[int, ...]) -> tuple[float, ...] | None:
    """A sample of an early snapshot is smaller than the full shape, so its pixels are larger."""
    return rescale_spacing(snapshot.spacing, snapshot.recipe.shape, shape)
