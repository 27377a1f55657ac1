"""What a user writes, with every public function and class that the guide to the library names."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

import ganatomy


def make_store(raw: Path) -> ganatomy.Store:
    return ganatomy.prepare(raw, "mammogram", "store", shape=(80, 64), workers=2)


def train(store: ganatomy.Store) -> ganatomy.Run:
    return ganatomy.train("pggan-mammogram", store, "runs", tiny=True, threads=1)


def draw(run: ganatomy.Run) -> list[NDArray[np.float32]]:
    model: ganatomy.Model = ganatomy.open(run.path)
    images: ganatomy.Images = model.sample(8, seed=0, view_position="MLO")
    tensor: torch.Tensor = images[0].to_torch()
    assert tensor.ndim == 3
    return [image.pixels for image in images]


def measure(model: ganatomy.Model, store: ganatomy.Store) -> float:
    content = ganatomy.evaluate(model, store, "report")
    return float(content["swd"]["fake"]["average"])


def load(model: ganatomy.Model) -> int:
    real = ganatomy.StoreDataset("store", split="train", shape=(20, 16))
    synthetic = ganatomy.SyntheticDataset(model, seed=1, n=32)
    mixed = ganatomy.MixedDataset(real, synthetic, share=0.2)
    return sum(len(batch["image"]) for batch in DataLoader(mixed, batch_size=8))


def fail(model: ganatomy.Model) -> str:
    try:
        model.sample(1, view_position="ML")
    except ganatomy.Refused as refusal:
        return str(refusal)
    return ""
