"""Features of a network with random weights, which are available everywhere without a download (Naeem 2020).

A ResNet-10 with seeded random weights and initial batch normalisation, and a seeded Gaussian projection to 64
dimensions. Distances increase with blur, noise, missing modes and changes of texture and contrast, in the same order
for every seed. Their size depends on the seed, so one seed is fixed and the hash of the weights is reported. The
features carry no information about anatomy.
"""

import torch
from torch import nn

from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, Pixels, digest_state, stack_images
from ganatomy.evaluation.extractors.resnet import ResNet
from ganatomy.machine.device import select_device

PROJECTION_DIMENSIONS = 64
SEED = 0


class RandomResNet(Extractor):
    """ResNet-10 with random weights, on images of one channel in [-1, 1] at their own size."""

    name = "random"

    def __init__(self, ndim: int, seed: int = SEED) -> None:
        network = nn.Sequential(ResNet(ndim, 10), nn.Linear(512, PROJECTION_DIMENSIONS, bias=False))
        generator = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                gain = 2.0 if parameter.ndim > 2 else 1.0  # with and without a following rectifier
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * (gain / fan_in) ** 0.5)
        self.digest = digest_state(network)
        self._device = select_device(None)
        self._network = network.to(self._device).eval().requires_grad_(False)
        self.description = (
            f"ResNet-10 in {ndim}D with random weights (seed {seed}), mean over space, Gaussian projection to"
            f" {PROJECTION_DIMENSIONS}; images in [-1, 1] at their own size"
        )

    def __call__(self, images: list[Pixels]) -> FeatureRows:
        with torch.inference_mode():
            return self._network(stack_images(images).to(self._device)).cpu().numpy()
