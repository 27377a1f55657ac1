"""Stateless randomness: every draw is a function of a seed, a purpose and a sample number.

Therefore a resumed run needs no saved generators, the number of processes does not change the data, and image i of a
seed does not depend on the batch size.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def derive_key(seed: int, purpose: str, number: int = 0) -> int:
    """Derive a 63-bit key for one draw."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def draw_normal(seed: int, purpose: str, numbers: Iterable[int], *shape: int) -> Tensor:
    """Draw standard normal numbers of the given shape for each sample number: (samples, *shape), float32."""
    return torch.stack([torch.randn(shape, generator=_make_generator(seed, purpose, n)) for n in numbers])


def draw_uniform(seed: int, purpose: str, numbers: Iterable[int]) -> Tensor:
    """Draw one uniform number in [0, 1) for each sample number: (samples,), float32."""
    return torch.stack([torch.rand((), generator=_make_generator(seed, purpose, n)) for n in numbers])


def _make_generator(seed: int, purpose: str, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_key(seed, purpose, number))


@lru_cache(maxsize=4)
def draw_permutation(seed: int, purpose: str, epoch: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Draw the order in which epoch `epoch` visits `n` cases."""
    return np.random.default_rng(derive_key(seed, purpose, epoch)).permutation(n)
