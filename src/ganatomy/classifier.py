"""A classifier of images for studies of synthetic data: MONAI's residual network, trained the same way on anything."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn, optim
from torch.nn import functional as F

from ganatomy import randomness
from ganatomy.refused import Refused

WIDTHS = [16, 32, 64, 128]  # of the four stages
RATE, DECAY = 2e-3, 1e-2  # highest learning rate, weight decay (AdamW)
BATCH = 16

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]


def train(images: Pixels, labels: Labels, classes: int, steps: int, seed: int, device: torch.device) -> nn.Module:
    """A network trained for a number of steps, with a learning rate that rises and falls once.

    Args:
        images: (n, *shape) in [-1, 1].
        labels: (n,), 0 to classes - 1.
        seed: decides the first weights and the order of images.

    Raises:
        Refused: MONAI is not installed.
    """
    torch.manual_seed(randomness.key(seed, "classifier") % 2**63)
    network = _network(images.ndim - 1, classes).to(device).train()
    optimizer = optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    batch = min(BATCH, len(images))
    whole = len(images) // batch * batch  # what is left over comes in another epoch: batches are of one size
    for step in range(steps):
        epoch, place = divmod(step * batch, whole)
        rows = randomness.permutation(seed, "classifier", epoch, len(images))[place : place + batch]
        x, y = torch.from_numpy(images[rows])[:, None].to(device), torch.from_numpy(labels[rows]).to(device)
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def probabilities(network: nn.Module, images: Pixels, device: torch.device) -> NDArray[np.float64]:
    """(n, classes) for images (n, *shape)."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            x = torch.from_numpy(images[start : start + BATCH])[:, None].to(device)
            found.append(network(x).double().softmax(1).cpu().numpy())
    return np.concatenate(found)


def accuracy(told: NDArray[np.float64], labels: Labels) -> float:
    """Share of images whose likeliest class is theirs."""
    return float((told.argmax(1) == labels).mean())


def area(told: NDArray[np.float64], labels: Labels) -> float:
    """Area under the curve of each class against the rest, the mean over the classes that occur; nan for one class."""
    pairs = [(labels == c, told[:, c]) for c in range(told.shape[1])]
    areas = [roc_auc_score(truth, score) for truth, score in pairs if 0 < truth.sum() < len(truth)]
    return float(np.mean(areas)) if areas else math.nan


def _network(ndim: int, classes: int) -> nn.Module:
    try:
        from monai.networks.nets.resnet import ResNet
    except ModuleNotFoundError as error:
        raise Refused(
            f"A classifier needs the package {error.name}; install it with: pip install 'ganatomy[benchmark]'"
        ) from error
    network: nn.Module = ResNet(
        "basic", [1, 1, 1, 1], WIDTHS, spatial_dims=ndim, n_input_channels=1, num_classes=classes, conv1_t_stride=2
    )
    return network
