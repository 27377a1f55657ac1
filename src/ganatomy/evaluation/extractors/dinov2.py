"""DINOv2 vision transformers (Oquab 2023): the class token after the last normalisation."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganatomy.evaluation.extractors import weights
from ganatomy.evaluation.extractors.extractor import Extractor, FeatureRows, Pixels, stack_images
from ganatomy.machine.device import select_device

PATCH = 14
POSITIONS = 37  # patches per axis for which the position codes were learnt, at 518 pixels
SIDE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the three channels of ImageNet
POSITION_OFFSET = 0.1  # added to the number of patches when position codes are resized, as in the official code


@dataclass(frozen=True)
class ViTSize:
    width: int
    heads: int
    depth: int


SIZES = {"s": ViTSize(384, 6, 12), "b": ViTSize(768, 12, 12), "l": ViTSize(1024, 16, 24)}


class LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class TransformerLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(width, eps=1e-6), Attention(width, heads), LayerScale(width)
        self.norm2, self.ls2 = nn.LayerNorm(width, eps=1e-6), LayerScale(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))


class VisionTransformer(nn.Module):
    """Class token of images (batch, 3, height, width), both multiples of 14 -> (batch, width of the network)."""

    def __init__(self, size: ViTSize) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + POSITIONS**2, size.width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, size.width, PATCH, stride=PATCH)})
        self.blocks = nn.ModuleList(TransformerLayer(size.width, size.heads) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](x)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1)
        tokens = tokens + self._positions(patches.shape[2], patches.shape[3])
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def _positions(self, rows: int, columns: int) -> Tensor:
        if (rows, columns) == (POSITIONS, POSITIONS):
            return self.pos_embed
        plane = self.pos_embed[:, 1:].view(1, POSITIONS, POSITIONS, -1).permute(0, 3, 1, 2)
        times = ((rows + POSITION_OFFSET) / POSITIONS, (columns + POSITION_OFFSET) / POSITIONS)
        plane = F.interpolate(plane, scale_factor=times, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], plane.permute(0, 2, 3, 1).flatten(1, 2)], 1)


class DinoV2(Extractor):
    """DINOv2 of size s, b or l with patches of 14.

    Grey images are repeated to three channels and resized to 224 (bicubic, anti-aliased).

    Raises:
        Refused: the file of weights is missing or unknown.
    """

    def __init__(self, size: str, file: Path | None) -> None:
        self.name = f"dinov2-{size}"
        state, self.digest = weights.read_weights(self.name, file)
        self._device = select_device(None)
        self._network = VisionTransformer(SIZES[size]).to(self._device).eval().requires_grad_(False)
        weights.load_weights(self._network, state, ("mask_token",))
        self.description = (
            f"DINOv2 ViT-{size.upper()}/14, class token; grey as three channels, resized to {SIDE} x {SIDE}"
        )

    def __call__(self, images: list[Pixels]) -> FeatureRows:
        with torch.inference_mode():
            x = (stack_images(images).to(self._device) + 1) / 2
            x = F.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1).expand(-1, 3, -1, -1)
            mean, deviation = (
                torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (MEAN, DEVIATION)
            )
            return self._network((x - mean) / deviation).cpu().numpy()
