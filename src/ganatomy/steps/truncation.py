"""Truncation: samples drawn towards the usual, with less variety and fewer failures, where a network lets that act."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from ganatomy import randomness
from ganatomy.steps.condition import Condition
from ganatomy.steps.modules import StyledGenerator
from ganatomy.steps.scope import ImageParts, Scope

MEAN_CODES = 1024  # whose mean style is the centre; its error is 3 % of the deviation of a single style


def truncate_codes(z: Tensor, bound: float) -> Tensor:
    """Normal numbers z mapped monotonously into +- `bound`, in standard deviations   (Brock 2019, section 3.1).

    The quantile of each number within the whole distribution becomes its quantile within the truncated one, so that the
    order of codes is kept.
    """
    tail = 0.5 * math.erfc(bound / math.sqrt(2))
    return torch.special.ndtri(tail + torch.special.ndtr(z.double()) * (1 - 2 * tail)).float()


def generate_truncated(generator: nn.Module, z: Tensor, condition: Condition, scope: Scope, share: float) -> ImageParts:
    """x = g(m + share (f(z, c) - m)), where m is the mean style of the condition c   (Karras 2019, appendix B).

    Args:
        generator: a `StyledGenerator`.
        z: latent codes (batch, latent).
        condition: of the images.
        share: of its distance from the mean that a style keeps; 1 = all.
    """
    styled = cast(StyledGenerator, generator)
    codes = randomness.draw_normal(0, "mean style", range(1), MEAN_CODES, z.shape[1])[0].to(z.device)
    styles = []
    for i in range(len(z)):  # alone, so that rounding cannot depend on the batch
        mean = styled.map_codes(codes, condition[[i] * MEAN_CODES]).mean(0)
        styles.append(torch.lerp(mean, styled.map_codes(z[i : i + 1], condition[i : i + 1])[0], share))
    return styled.decode_styles(torch.stack(styles), scope)
