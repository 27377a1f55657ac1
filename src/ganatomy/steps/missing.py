"""Channels that a case lacks: they are hidden from discriminators, and reconstruction losses leave them out."""

import torch
from torch import Tensor

from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts

HIDDEN = -2.0  # outside [-1, 1], so that no image in this range looks like a channel that is missing


def hide_missing(images: ImageParts, condition: Condition) -> ImageParts:
    """Replace the arrays that cases lack by a constant, which has no gradient.

    Real and generated images of a place in the batch lack the same arrays. The constant tells a discriminator which
    arrays are missing.

    Args:
        images: parts of images, each ``(batch, arrays, *space)``.
        condition: their condition, whose `present` says which arrays the cases have.

    Returns:
        The parts with `HIDDEN` in missing arrays; the given tensors if no array is missing.
    """
    if condition.present is None:
        return images
    return tuple(torch.where(_align(condition.present, image), image, HIDDEN) for image in images)


def average_present(errors: Tensor, condition: Condition) -> Tensor:
    """Average errors over the voxels of the arrays that a case has, then over the images.

    Every image has the same weight, whatever it lacks, so that the mean of micro-batches of one size is that of the
    batch.

    Args:
        errors: ``(batch, arrays, *space)``.
        condition: the condition of the images; each has at least one array.

    Returns:
        A scalar; the plain mean if no array is missing.
    """
    if condition.present is None:
        return errors.mean()
    present = condition.present
    kept = torch.where(_align(present, errors), errors, 0).flatten(2).mean(2)
    return (kept.sum(1) / present.sum(1)).mean()


def _align(present: Tensor, images: Tensor) -> Tensor:
    """Give ``(batch, arrays)`` the axes of images, so that both broadcast."""
    return present.view(*present.shape, *[1] * (images.ndim - 2))
