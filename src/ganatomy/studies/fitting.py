"""Training and use of the small networks of studies, in the same way on every data set."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from ganatomy import randomness

LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2  # highest learning rate, weight decay (AdamW)
BATCH_SIZE = 16

Pixels = NDArray[np.float32]
Targets = NDArray[np.int64]


def fit_network(
    make: Callable[[], nn.Module],
    compute_loss: Callable[[Tensor, Tensor], Tensor],
    images: Pixels,
    targets: Targets,
    steps: int,
    seed: int,
    purpose: str,
    device: torch.device,
) -> nn.Module:
    """Train a network for a number of steps with a learning rate that rises and falls once.

    Args:
        make: makes the network; its weights come from the seed.
        compute_loss: the loss of outputs and targets.
        images: ``(n, *shape)`` in [-1, 1].
        targets: ``(n, ...)``, what the network is to tell of each image.
        steps: training steps, each of `BATCH_SIZE` images or of all if there are fewer.
        seed: seed of the initial weights and the order of images.
        purpose: name of the random numbers.
        device: where to compute.
    """
    torch.manual_seed(randomness.derive_key(seed, purpose) % 2**63)
    network = make().to(device).train()
    optimizer = optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    batch = min(BATCH_SIZE, len(images))
    whole = len(images) // batch * batch  # batches have one size; remaining images come in another epoch
    every, all_targets = torch.from_numpy(images)[:, None], torch.from_numpy(targets)
    for step in range(steps):
        epoch, place = divmod(step * batch, whole)
        rows = torch.from_numpy(randomness.draw_permutation(seed, purpose, epoch, len(images))[place : place + batch])
        # Indexed by torch, not by NumPy: oneDNN selects its kernel, and with it the rounding, by memory alignment.
        x, y = every[rows].to(device), all_targets[rows].to(device)
        loss = compute_loss(network(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def apply_network(network: nn.Module, images: Pixels, device: torch.device) -> Iterator[Tensor]:
    """Yield the outputs of a network for images ``(n, *shape)``, batch by batch."""
    with torch.inference_mode():
        for start in range(0, len(images), BATCH_SIZE):
            yield network(torch.tensor(images[start : start + BATCH_SIZE], device=device)[:, None])
