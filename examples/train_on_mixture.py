"""Train MONAI's classifier and segmenter on real images with a share of synthetic ones, and test both on real images.

    python examples/train_on_mixture.py STORE MODEL [--fact view_position] [--share 0.5] [--steps 200]

STORE is a store of `ganatomy prepare`, MODEL a run, snapshot or bundle of the same modality and shape. The classifier
finds the class of a fact. The segmenter finds the body; its masks are those that the modality measures in an image, so
that synthetic images have them too. Both are tested on the images of the store's test patients.
It needs MONAI: pip install 'monai>=1.6'.
"""

import argparse
import itertools
import json

import torch
from monai.data import CacheDataset
from monai.losses import DiceCELoss
from monai.metrics import compute_dice
from monai.networks.nets import DenseNet, UNet
from torch.utils.data import DataLoader

import ganatomy
from ganatomy.imaging.image import Image
from ganatomy.modalities.table import make_modality

BATCH = 8


def add_mask(dataset):
    """The transform that adds the modality's mask of the body to an item of a dataset."""
    modality = make_modality(dataset.modality)

    def transform(item):
        image = modality.denormalise(Image(item["image"][0].numpy(), facts=item["facts"]))
        mask = modality.segment_foreground(image).astype("float32")
        turned = modality.canonicalise(image.copy_with(pixels=mask)).pixels  # as images of training lie, in [-1, 1]
        return item | {"mask": torch.from_numpy((turned > 0).astype("float32"))[None]}

    return transform


def train(network, batches, compute_loss, steps):
    """Train a network for a number of steps on batches that begin again at their end."""
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    network.train()
    for batch in itertools.islice(itertools.chain.from_iterable(itertools.repeat(batches)), steps):
        optimiser.zero_grad()
        compute_loss(network(batch["image"]), batch).backward()
        optimiser.step()
    return network.eval()


def train_on_mixture(store, model, fact="view_position", share=0.5, steps=200, seed=0):
    """Return the accuracy of the classifier and the Dice coefficient of the segmenter on the test patients."""
    torch.manual_seed(seed)
    opened = ganatomy.open(model)
    classes = list(opened.conditions[fact])
    real = ganatomy.StoreDataset(store, split="train", shape=opened.shape)
    synthetic = ganatomy.SyntheticDataset(opened, seed=seed, n=len(real))
    mixture = ganatomy.MixedDataset(real, synthetic, share=share, seed=seed)
    cached = CacheDataset(mixture, add_mask(real), progress=False)  # each synthetic image is made once
    test = ganatomy.StoreDataset(store, split="test", shape=opened.shape, transform=add_mask(real))
    batches = DataLoader(cached, batch_size=BATCH, shuffle=True)

    def get_target(batch):
        return torch.tensor([classes.index(value) for value in batch["facts"][fact]])

    ndim = len(opened.shape)
    classifier = train(
        DenseNet(ndim, 1, len(classes), init_features=16, growth_rate=8, block_config=(2, 2, 2)),
        batches,
        lambda found, batch: torch.nn.functional.cross_entropy(found, get_target(batch)),
        steps,
    )
    dice_loss = DiceCELoss(sigmoid=True)
    segmenter = train(
        UNet(ndim, 1, 1, channels=(8, 16, 32), strides=(2, 2), norm="batch"),
        batches,
        lambda found, batch: dice_loss(found, batch["mask"]),
        steps,
    )
    right, dice = [], []
    with torch.no_grad():
        for batch in DataLoader(test, batch_size=BATCH):
            right += (classifier(batch["image"]).argmax(1) == get_target(batch)).tolist()
            dice += compute_dice((segmenter(batch["image"]) > 0).float(), batch["mask"]).flatten().tolist()
    return {
        "training_images": len(mixture),
        "synthetic": sum(bool(item["synthetic"]) for item in cached),
        "test_images": len(right),
        "accuracy": sum(right) / len(right),
        "dice": sum(dice) / len(dice),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("model")
    parser.add_argument("--fact", default="view_position")
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(train_on_mixture(**vars(parser.parse_args())), indent=1))
