"""Sampling of images from a snapshot; image i of a seed does not depend on the batch size."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganatomy import randomness
from ganatomy.channels import list_label_names, split_arrays
from ganatomy.checkpoint import Snapshot
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.machine import progress
from ganatomy.machine.choices import Precision
from ganatomy.machine.device import is_out_of_memory
from ganatomy.machine.device import select_device as named_device
from ganatomy.modalities import table as modalities
from ganatomy.nn.precision import check_precision, compute_in
from ganatomy.pyramid import rescale_spacing
from ganatomy.steps.condition import Condition, ConditionSpace
from ganatomy.steps.modules import DraftGenerator, SlabGenerator
from ganatomy.steps.scope import Scope
from ganatomy.steps.truncation import generate_truncated, truncate_codes

PRECISION_ENTRY = "precision"  # of a record; records of images in float32, and of earlier versions, have none


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
    precision: Precision = "float32",
) -> Iterator[tuple[Image, dict[str, Any]]]:
    """Draw images one after another, each with the record of how it was made. The arguments are checked immediately.

    Args:
        snapshot: where the generator comes from.
        n: how many images.
        seed: image `first + i` of a seed is always the same.
        condition: wanted facts, such as ``{"view_position": "MLO"}``; those not named are taken in turn. Facts that a
            canonical image does not show, such as the laterality of a breast, may be named too. Of a number, such as
            ``{"age": "63.5"}``, a range ``50..70`` is drawn from evenly, and one that is not named is drawn from the
            training distribution. A list has the wanted facts of each image.
        truncation: t > 0 = latent numbers within -t to t standard deviations: less variety, fewer failures. None = all.
        batch_size: images a pass on a GPU, halved where they do not fit into its memory. On a processor every pass has
            one image, so that rounding cannot depend on the batch.
        device: where to compute; None = a GPU if there is one.
        first: number of the first image.
        planes: number of planes of a volume to generate at a time, with the same result to rounding and in bounded
            memory; None = all.
        precision: ``float32``, ``tf32`` (NVIDIA), ``bfloat16`` or ``float16``: how the generator computes. The record
            of an image has it, if it is not float32.

    Returns:
        An iterator of pairs: the image in [-1, 1], canonically oriented, and its record: snapshot hash, seed, index,
        condition.

    Raises:
        Refused: an unknown fact or value; a number that must be above zero and is not; a truncation or `planes` that
            the model cannot make; or there is no memory for a single image.

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
    if truncation is not None:
        _check_truncation(snapshot, truncation)
    place = named_device(device)
    check_precision(precision, len(snapshot.scope.regions[0].shape), place)
    wishes = [condition or {}] * n if condition is None or isinstance(condition, Mapping) else list(condition)
    wanted = _choose_facts(snapshot, wishes, range(first, first + n), seed)
    if (warning := snapshot.recipe.condition_space.describe_extrapolation(wanted)) is not None:
        _say_once(warning)
    at_once = batch_size if place.type == "cuda" else 1
    return _generate_images(snapshot, wanted, first, seed, truncation, at_once, place, planes, precision)


def _check_truncation(snapshot: Snapshot, truncation: float) -> None:
    name, place = snapshot.recipe.name, snapshot.recipe.networks["generator"].truncation_place
    if place == "nowhere":
        raise Refused(
            f"--truncation {truncation:g}: the generator of {name} has no place where truncation would make images more"
            " usual; omit --truncation, and leave failures out by --reject-worst 5%."
        )
    if place == "style" and truncation > 1:
        raise Refused(
            f"--truncation {truncation:g}: for {name} it is the share of its distance from the mean that a style keeps;"
            " give a number above 0 and up to 1."
        )


def _check_planes(snapshot: Snapshot, planes: int) -> None:
    fewest = snapshot.recipe.networks["generator"].min_slab_planes
    if fewest is None:
        raise Refused(
            f"--planes {planes}: {snapshot.recipe.name} generates whole images only; omit --planes, or sample a model"
            " that generates volumes slab by slab, such as hagan."
        )
    if planes < fewest:
        raise Refused(
            f"--planes {planes}: give {fewest} or more; {snapshot.recipe.name} cannot generate thinner slabs."
        )


def regenerate_image(snapshot: Snapshot, record: Mapping[str, Any], device: str | None = None) -> Image:
    """Generate the image of a record again: bit for bit on the same processor, to rounding on another.

    Args:
        record: as returned by `sample`; additional entries are ignored.

    Raises:
        Refused: the record is not of this snapshot.
    """
    if record.get("snapshot_sha256") != snapshot.digest:
        raise Refused("The image was generated by another snapshot.")
    facts = {name: value for name, value in record.items() if name in list_facts(snapshot).names}
    number, place = record["index"], named_device(device)
    wanted = _choose_facts(snapshot, [facts], range(number, number + 1))
    # The truncation is not checked: earlier versions wrote records with one for networks that it does nothing good for.
    precision = record.get(PRECISION_ENTRY, "float32")
    check_precision(precision, len(snapshot.scope.regions[0].shape), place)
    made = _generate_images(snapshot, wanted, number, record["seed"], record["truncation"], 1, place, None, precision)
    return next(made)[0]


def decode_codes(
    snapshot: Snapshot, codes: Tensor, facts: Sequence[Mapping[str, str]], device: str | None = None
) -> Iterator[Image]:
    """Generate the images of latent codes (n, latent) with given facts, one after another, in [-1, 1].

    Raises:
        Refused: a fact or value is unknown.
    """
    place = named_device(device)
    generator = snapshot.load_network("generator", place)
    wanted = _choose_facts(snapshot, list(facts), range(len(codes)))
    for z, fact in zip(codes, wanted, strict=True):
        given = snapshot.recipe.condition_space.encode([fact]).to(place)
        with torch.inference_mode():
            made = generator(z[None].to(place), given, snapshot.scope)[0][0].float().cpu().numpy()
        yield _make_image(snapshot, made, fact)


def make_draft(snapshot: Snapshot, code: Tensor, facts: Mapping[str, str], device: str | None = None) -> Image:
    """Generate a draft of the image of a latent code (latent,): small and fast where the generator makes drafts.

    Of another generator it is the image itself.

    Raises:
        Refused: a fact or value is unknown.
    """
    if not snapshot.recipe.networks["generator"].makes_drafts:
        return next(decode_codes(snapshot, code[None], [facts], device))
    place = named_device(device)
    generator = cast(DraftGenerator, snapshot.load_network("generator", place))
    fact = _choose_facts(snapshot, [facts], range(1))[0]
    given = snapshot.recipe.condition_space.encode([fact]).to(place)
    with torch.inference_mode():
        made = generator.generate_draft(code[None].to(place), given)[0].float().cpu().numpy()
    return _make_image(snapshot, made, fact)


def _make_image(snapshot: Snapshot, arrays: NDArray[np.float32], facts: Mapping[str, str]) -> Image:
    """The image of the arrays (arrays, *shape) of a sample, with its label map if the model makes one."""
    values, shares = split_arrays(arrays, snapshot.recipe.channels)
    pixels = snapshot.convert_from_network(values)
    spacing, classes = _spacing(snapshot, values.shape), list_label_names(snapshot.recipe.channels)
    return Image(np.clip(pixels, -1, 1, out=pixels), spacing, facts, shares=shares, classes=classes)


def _generate_images(
    snapshot: Snapshot,
    requested_facts: list[dict[str, str]],
    first: int,
    seed: int,
    truncation: float | None,
    batch_size: int,
    device: torch.device,
    planes: int | None,
    precision: Precision,
) -> Iterator[tuple[Image, dict[str, Any]]]:
    n = len(requested_facts)
    generator = snapshot.load_network("generator", device)
    start, size = 0, batch_size
    while start < n:
        numbers = range(first + start, first + min(start + size, n))
        share = truncation if snapshot.recipe.networks["generator"].truncation_place == "style" else None
        z = draw_latents(snapshot, seed, numbers, truncation if share is None else None).to(device)
        facts = requested_facts[start : start + size]
        condition = snapshot.recipe.condition_space.encode(facts).to(device)
        with compute_in(precision, device):
            made = _generate_batch(
                generator, z, condition, snapshot.scope, planes, share, snapshot.recipe.space.channels
            )
        if made is None:
            size = _halve_batch(len(facts), snapshot, device, planes)
            continue
        start += len(facts)
        for number, fact, one in zip(numbers, facts, made, strict=True):
            record = _describe(snapshot, seed, number, truncation, fact, device, precision)
            yield _make_image(snapshot, one, fact), record


def make_record(
    snapshot: Snapshot,
    seed: int,
    index: int,
    truncation: float | None,
    facts: Mapping[str, str],
    device: str | None = None,
) -> dict[str, Any]:
    """Make the record of how an image was made."""
    return _describe(snapshot, seed, index, truncation, facts, named_device(device), "float32")


def _describe(
    snapshot: Snapshot,
    seed: int,
    index: int,
    truncation: float | None,
    facts: Mapping[str, str],
    device: torch.device,
    precision: Precision,
) -> dict[str, Any]:
    return {
        "generator": snapshot.recipe.name,
        "snapshot_sha256": snapshot.digest,
        "kimg": snapshot.images / 1000,
        "trained_on": snapshot.trained_on["fingerprint"],
        "seed": seed,
        "index": index,
        "truncation": truncation,
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        **facts,
        **({} if precision == "float32" else {PRECISION_ENTRY: precision}),
    }


def _generate_batch(
    generator: nn.Module,
    z: Tensor,
    condition: Condition,
    scope: Scope,
    planes: int | None,
    share: float | None,
    arrays: int,
) -> NDArray[np.float32] | None:
    """Arrays (batch, arrays, *shape) in one pass, with truncated styles or by planes; None when memory ran out."""
    try:
        with torch.inference_mode():
            if share is not None:
                parts = generate_truncated(generator, z, condition, scope, share)
                truncated: NDArray[np.float32] = parts[0].float().cpu().numpy()
                return truncated
            if planes is None:
                made: NDArray[np.float32] = generator(z, condition, scope)[0].float().cpu().numpy()
                return made
            slabs = cast(SlabGenerator, generator).generate_slabs(z, condition, planes)
            return _join_planes(slabs, (len(z), arrays, *scope.regions[0].shape))
    except RuntimeError as error:
        if is_out_of_memory(error):
            return None
        raise


def _halve_batch(size: int, snapshot: Snapshot, device: torch.device, planes: int | None) -> int:
    """Halve the number of images per pass after memory was exhausted.

    Raises:
        Refused: the pass had one image.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if size > 1:
        progress.say(f"{size} images at once need more memory than {device} has; going on with {size // 2}.")
        return size // 2
    by_planes = planes is None and snapshot.recipe.networks["generator"].min_slab_planes is not None
    advice = "--planes 16" if by_planes else "fewer --planes" if planes else "another --device"
    raise Refused(
        f"There is not enough memory on {device} for one image of {snapshot.recipe.name} at a time; close what else"
        f" uses it, or give {advice}."
    )


def _join_planes(pieces: Iterator[Tensor], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Join pieces (batch, arrays, planes, *rest) along the planes to (batch, arrays, *shape)."""
    whole, start = np.empty(shape, dtype=np.float32), 0
    for piece in pieces:
        stop = start + piece.shape[2]
        whole[:, :, start:stop] = piece.cpu().numpy()
        start = stop
    return whole


def draw_latents(snapshot: Snapshot, seed: int, indices: range, truncation: float | None) -> Tensor:
    """Latent codes (batch, latent) of the samples with these numbers; their numbers within +- `truncation`, or all."""
    z = randomness.draw_normal(seed, "sample", indices, snapshot.recipe.latent)
    return z if truncation is None else truncate_codes(z, truncation)


@lru_cache(maxsize=256)
def _say_once(warning: str) -> None:
    progress.say(warning)


def _choose_facts(
    snapshot: Snapshot, requested_facts: list[Mapping[str, str]], indices: range, seed: int = 0
) -> list[dict[str, str]]:
    """The facts of each sample: those of the model, those it was trained on one value of, and those left free."""
    space = list_facts(snapshot)
    return [space.choose_facts(wish, number, seed) for wish, number in zip(requested_facts, indices, strict=True)]


def list_facts(snapshot: Snapshot) -> ConditionSpace:
    """All facts that a sample of a snapshot may be asked to have, with their values."""
    free = {**modalities.get_modality(snapshot.modality)().free_conditions, **snapshot.constant_facts}
    return snapshot.recipe.condition_space.add_free_facts(free)


def _spacing(snapshot: Snapshot, shape: tuple[int, ...]) -> tuple[float, ...] | None:
    """Spacing of a sample of this shape; samples of an early snapshot have fewer and therefore larger pixels."""
    return rescale_spacing(snapshot.spacing, snapshot.recipe.shape, shape)
