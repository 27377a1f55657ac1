"""Truncation of latent codes or styles, which gives more typical samples with fewer failures and less variety."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from ganatomy import randomness
from ganatomy.steps.condition import Condition
from ganatomy.steps.modules import StyledGenerator
from ganatomy.steps.scope import ImageParts, Scope

MEAN_CODES = 1024  # codes whose mean style is m; its standard error is 3 % of the deviation of a single style


def truncate_codes(z: Tensor, bound: float) -> Tensor:
    """Map normal numbers z monotonically into [-bound, bound], in standard deviations   (Brock 2019, section 3.1).

    Each number is replaced by the number with the same quantile in the truncated normal distribution, so the order of
    the numbers is preserved.
    """
    tail = 0.5 * math.erfc(bound / math.sqrt(2))
    return torch.special.ndtri(tail + torch.special.ndtr(z.double()) * (1 - 2 * tail)).float()


def generate_truncated(generator: nn.Module, z: Tensor, condition: Condition, scope: Scope, share: float) -> ImageParts:
    """x = g(m + share (f(z, c) - m)), where m is the mean style of the condition c   (Karras 2019, appendix B).

    Args:
        generator: a `StyledGenerator`.
        z: latent codes (batch, latent).
        condition: condition of the images.
        scope: the part of the image that is generated.
        share: factor of the distance between a style and the mean style; 1 = no truncation.
    """
    styled = cast(StyledGenerator, generator)
    codes = randomness.draw_normal(0, "mean style", range(1), MEAN_CODES, z.shape[1])[0].to(z.device)
    styles = []
    for i in range(len(z)):  # one by one, so that rounding does not depend on the batch
        mean = styled.map_codes(codes, condition[[i] * MEAN_CODES]).mean(0)
        styles.append(torch.lerp(mean, styled.map_codes(z[i : i + 1], condition[i : i + 1])[0], share))
    return styled.decode_styles(torch.stack(styles), scope)
