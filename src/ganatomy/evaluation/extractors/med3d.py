"""Med3D's residual networks on volumes, as HA-GAN's published FID has them (Chen 2019; Sun 2022)."""

from pathlib import Path

import torch

from ganatomy.evaluation.extractors import weights
from ganatomy.evaluation.extractors.extractor import Pixels, Rows, stacked
from ganatomy.evaluation.extractors.resnet import ResNet
from ganatomy.machine.device import device


class Med3D:
    """Depth 10, 18, 34 or 50 with dilated stages; volumes in [-1, 1], without the z-score of Med3D's own code.

    Raises:
        Refused: the file of weights is missing or not a known one.
    """

    def __init__(self, depth: int, file: Path | None) -> None:
        self.name = f"med3d-{depth}"
        state, self.digest = weights.read(self.name, file)
        self._place = device(None)
        self._network = ResNet(3, depth, dilated=True).to(self._place).eval().requires_grad_(False)
        weights.into(self._network, state, ("conv_seg",))  # the published files may hold a head for segmentation
        self.words = f"Med3D ResNet-{depth}, dilated, mean over space; volumes in [-1, 1], no z-score"

    def __call__(self, images: list[Pixels]) -> Rows:
        with torch.inference_mode():
            return self._network(stacked(images).to(self._place)).cpu().numpy()
