"""Inception v3 of the published FID (Heusel 2017): the weights of 2015, with the pooling of their TensorFlow graph.

It differs from the usual network in three places: averages do not count the padding, the last block takes a maximum
instead of an average, and there are 1,008 classes. The names of weights are those of the published file.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.evaluation.extractors import weights
from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, Pixels, stack_images
from ganatomy.machine.device import select_device

SIDE = 299
CLASSES = 1008

Sizes = int | tuple[int, int]


class InceptionConvolution(nn.Module):
    """Convolution, batch normalisation and rectifier; if `same`, padding keeps the size at a stride of 1."""

    def __init__(self, in_channels: int, out_channels: int, size: Sizes, stride: int = 1, same: bool = True) -> None:
        super().__init__()
        sizes = (size, size) if isinstance(size, int) else size
        padding = (sizes[0] // 2, sizes[1] // 2) if same else (0, 0)
        self.conv = nn.Conv2d(in_channels, out_channels, sizes, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def average_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class InceptionBlockA(nn.Module):
    def __init__(self, in_channels: int, pool_channels: int) -> None:
        super().__init__()
        self.branch1x1 = InceptionConvolution(in_channels, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = InceptionConvolution(in_channels, 48, 1), InceptionConvolution(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = (
            InceptionConvolution(in_channels, 64, 1),
            InceptionConvolution(64, 96, 3),
        )
        self.branch3x3dbl_3 = InceptionConvolution(96, 96, 3)
        self.branch_pool = InceptionConvolution(in_channels, pool_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(average_pool(x))], 1)


class InceptionBlockB(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = InceptionConvolution(in_channels, 384, 3, 2, same=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = (
            InceptionConvolution(in_channels, 64, 1),
            InceptionConvolution(64, 96, 3),
        )
        self.branch3x3dbl_3 = InceptionConvolution(96, 96, 3, 2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, F.max_pool2d(x, 3, 2)], 1)


class InceptionBlockC(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = InceptionConvolution(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = (
            InceptionConvolution(768, width, 1),
            InceptionConvolution(width, width, (1, 7)),
        )
        self.branch7x7_3 = InceptionConvolution(width, 192, (7, 1))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = (
            InceptionConvolution(768, width, 1),
            InceptionConvolution(width, width, (7, 1)),
        )
        self.branch7x7dbl_3, self.branch7x7dbl_4 = (
            InceptionConvolution(width, width, (1, 7)),
            InceptionConvolution(width, width, (7, 1)),
        )
        self.branch7x7dbl_5 = InceptionConvolution(width, 192, (1, 7))
        self.branch_pool = InceptionConvolution(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = x
        for number in range(1, 6):
            twice = getattr(self, f"branch7x7dbl_{number}")(twice)
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(average_pool(x))], 1)


class InceptionBlockD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = (
            InceptionConvolution(768, 192, 1),
            InceptionConvolution(192, 320, 3, 2, same=False),
        )
        self.branch7x7x3_1, self.branch7x7x3_2 = (
            InceptionConvolution(768, 192, 1),
            InceptionConvolution(192, 192, (1, 7)),
        )
        self.branch7x7x3_3, self.branch7x7x3_4 = (
            InceptionConvolution(192, 192, (7, 1)),
            InceptionConvolution(192, 192, 3, 2, same=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        seven = x
        for number in range(1, 5):
            seven = getattr(self, f"branch7x7x3_{number}")(seven)
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class InceptionBlockE(nn.Module):
    def __init__(self, in_channels: int, max_pool: bool) -> None:
        super().__init__()
        self.largest = max_pool
        self.branch1x1 = InceptionConvolution(in_channels, 320, 1)
        self.branch3x3_1 = InceptionConvolution(in_channels, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = (
            InceptionConvolution(384, 384, (1, 3)),
            InceptionConvolution(384, 384, (3, 1)),
        )
        self.branch3x3dbl_1, self.branch3x3dbl_2 = (
            InceptionConvolution(in_channels, 448, 1),
            InceptionConvolution(448, 384, 3),
        )
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = (
            InceptionConvolution(384, 384, (1, 3)),
            InceptionConvolution(384, 384, (3, 1)),
        )
        self.branch_pool = InceptionConvolution(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else average_pool(x)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(once),
                self.branch3x3_2b(once),
                self.branch3x3dbl_3a(twice),
                self.branch3x3dbl_3b(twice),
                self.branch_pool(pooled),
            ],
            1,
        )


class InceptionV3(nn.Module):
    """Pooled features (batch, 2048) of images (batch, 3, 299, 299) in [-1, 1]; `fc` computes logits from them."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = InceptionConvolution(3, 32, 3, 2, same=False)
        self.Conv2d_2a_3x3 = InceptionConvolution(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = InceptionConvolution(32, 64, 3)
        self.Conv2d_3b_1x1 = InceptionConvolution(64, 80, 1)
        self.Conv2d_4a_3x3 = InceptionConvolution(80, 192, 3, same=False)
        blocks = {
            "5b": InceptionBlockA(192, 32),
            "5c": InceptionBlockA(256, 64),
            "5d": InceptionBlockA(288, 64),
            "6a": InceptionBlockB(288),
            "6b": InceptionBlockC(128),
            "6c": InceptionBlockC(160),
            "6d": InceptionBlockC(160),
            "6e": InceptionBlockC(192),
            "7a": InceptionBlockD(),
            "7b": InceptionBlockE(1280, False),
            "7c": InceptionBlockE(2048, True),
        }
        self._blocks = [f"Mixed_{name}" for name in blocks]
        for name, block in blocks.items():
            self.add_module(f"Mixed_{name}", block)
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in self._blocks:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


class Inception2015(Extractor):
    """Inception v3 with the weights of 2015.

    Grey images in [-1, 1] are repeated to three channels and resized to 299 (bilinear, without anti-aliasing).

    Raises:
        Refused: the file of weights is missing or unknown.
    """

    name = "inception-2015"
    class_description = "the 1,008 of Inception 2015"

    def __init__(self, file: Path | None) -> None:
        state, self.digest = weights.read_weights(self.name, file)
        self._device = select_device(None)
        self._network = InceptionV3().to(self._device).eval().requires_grad_(False)
        weights.load_weights(self._network, state)
        self.description = f"Inception v3, 2015 weights of the published FID; grey as three channels, {SIDE} x {SIDE}"

    def __call__(self, images: list[Pixels]) -> FeatureRows:
        with torch.inference_mode():
            x = F.interpolate(stack_images(images).to(self._device), (SIDE, SIDE), mode="bilinear", align_corners=False)
            return self._network(x.expand(-1, 3, -1, -1)).cpu().numpy()

    def compute_probabilities(self, features: FeatureRows) -> FeatureRows:
        """Compute the probabilities of the 1,008 classes, on which the published inception score is based."""
        with torch.inference_mode():
            return torch.softmax(self._network.fc(torch.from_numpy(features).to(self._device)), 1).cpu().numpy()
