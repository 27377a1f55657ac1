"""Med3D's residual networks on volumes, as they are used for HA-GAN's published FID (Chen 2019; Sun 2022)."""

from pathlib import Path

import torch

from ganatomy.evaluation.extractors import weights
from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, Pixels, stack_images
from ganatomy.evaluation.extractors.resnet import ResNet
from ganatomy.machine.device import select_device


class Med3D(Extractor):
    """Med3D of depth 10, 18, 34 or 50 with dilated stages, on volumes in [-1, 1] without the z-score of Med3D's code.

    Raises:
        Refused: the file of weights is missing or unknown.
    """

    def __init__(self, depth: int, file: Path | None) -> None:
        self.name = f"med3d-{depth}"
        state, self.digest = weights.read_weights(self.name, file)
        self._device = select_device(None)
        self._network = ResNet(3, depth, dilated=True).to(self._device).eval().requires_grad_(False)
        weights.load_weights(self._network, state, ("conv_seg",))  # the published files may contain a segmentation head
        self.description = f"Med3D ResNet-{depth}, dilated, mean over space; volumes in [-1, 1], no z-score"

    def __call__(self, images: list[Pixels]) -> FeatureRows:
        with torch.inference_mode():
            return self._network(stack_images(images).to(self._device)).cpu().numpy()
