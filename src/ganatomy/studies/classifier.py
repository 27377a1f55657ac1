"""The image classifier of the studies: MONAI's residual network, trained in the same way on every data set."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn, optim
from torch.nn import functional as F

from ganatomy import randomness
from ganatomy.networks.autoencoder import import_monai

STAGE_WIDTHS = [16, 32, 64, 128]  # feature maps of the four stages
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2  # highest learning rate, weight decay (AdamW)
BATCH_SIZE = 16

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]


def train_classifier(
    images: Pixels, labels: Labels, class_count: int, steps: int, seed: int, device: torch.device
) -> nn.Module:
    """Train a network for a number of steps with a learning rate that rises and falls once.

    Args:
        images: (n, *shape) in [-1, 1].
        labels: (n,), 0 to classes - 1.
        seed: seed of the initial weights and the order of images.

    Raises:
        Refused: MONAI is not installed.
    """
    torch.manual_seed(randomness.derive_key(seed, "classifier") % 2**63)
    network = _network(images.ndim - 1, class_count).to(device).train()
    optimizer = optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    batch = min(BATCH_SIZE, len(images))
    whole = len(images) // batch * batch  # batches have one size; remaining images come in another epoch
    every, classes_of = torch.from_numpy(images)[:, None], torch.from_numpy(labels)
    for step in range(steps):
        epoch, place = divmod(step * batch, whole)
        rows = torch.from_numpy(
            randomness.draw_permutation(seed, "classifier", epoch, len(images))[place : place + batch]
        )
        # Indexed by torch, not by NumPy: oneDNN selects its kernel, and with it the rounding, by memory alignment.
        x, y = every[rows].to(device), classes_of[rows].to(device)
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def predict_probabilities(network: nn.Module, images: Pixels, device: torch.device) -> NDArray[np.float64]:
    """Predict class probabilities (n, classes) of images (n, *shape)."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH_SIZE):
            x = torch.tensor(images[start : start + BATCH_SIZE], device=device)[:, None]
            found.append(network(x).double().softmax(1).cpu().numpy())
    return np.concatenate(found)


def compute_accuracy(probabilities: NDArray[np.float64], labels: Labels) -> float:
    """Compute the share of images whose most probable class is correct."""
    return float((probabilities.argmax(1) == labels).mean())


def _network(ndim: int, class_count: int) -> nn.Module:
    network: nn.Module = import_monai("resnet").ResNet(
        "basic",
        [1, 1, 1, 1],
        STAGE_WIDTHS,
        spatial_dims=ndim,
        n_input_channels=1,
        num_classes=class_count,
        conv1_t_stride=2,
    )
    return network
