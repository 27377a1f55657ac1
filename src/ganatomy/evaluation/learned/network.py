"""The small network of the learned two-sample test: convolutions, mean and maximum over space, one score."""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 32, 48)  # channels of the layers
STRIDES = (2, 2, 1, 2)
MIN_DEVIATION = 0.01  # least standard deviation of voxels, for values in [-1, 1]
MAX_DEVIATIONS = 5.0  # deviations of a voxel position at which values are clipped


class InputScaling(nn.Module):
    """Scaling of images by the deviation of all voxels and, for whole images, by the deviation at each position.

    In the second channel, regions that hardly vary between images, such as the background, have the same scale as all
    other regions.

    Args:
        pixels: images from which the deviations are computed (n, 1, *size), in [-1, 1].
        by_place: whether the images are whole, so that a position has the same meaning in all of them.
    """

    def __init__(self, pixels: Tensor, by_place: bool) -> None:
        super().__init__()
        self.channels = 2 if by_place else 1
        self.mean: Tensor
        self.deviation: Tensor
        self.place_mean: Tensor | None
        self.place_deviation: Tensor
        self.register_buffer("mean", pixels.mean())
        self.register_buffer("deviation", pixels.std().clamp_min(MIN_DEVIATION))
        self.register_buffer("place_mean", pixels.mean(0) if by_place else None)
        self.register_buffer("place_deviation", pixels.std(0).clamp_min(MIN_DEVIATION) if by_place else None)

    def forward(self, x: Tensor) -> Tensor:
        """Scale images (batch, 1, *size) to (batch, channels, *size)."""
        overall = (x - self.mean) / self.deviation
        if self.place_mean is None:
            return overall
        by_place = (x - self.place_mean) / self.place_deviation
        return torch.cat([overall, by_place.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)], 1)


class SmallClassifier(nn.Module):
    """A classifier with one score per image, positive = synthetic, for images of any size:

        f = (convolution, norm, leaky ReLU) four times;  score = w1 . mean_p f(p) + w2 . max_p f(p) + b

    The mean detects faults of the whole image, such as noise; the maximum detects local faults, such as a ring.

    Args:
        ndim: number of spatial axes, 2 or 3.
        scaling: the scaling of its input images (batch, 1, *size).
    """

    def __init__(self, ndim: int, scaling: InputScaling) -> None:
        super().__init__()
        self.scaling = scaling
        channels = scaling.channels
        convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if ndim == 2 else (nn.Conv3d, nn.BatchNorm3d)
        layers: list[nn.Module] = []
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            layers += [convolution(channels, width, 3, stride, 1, bias=False), norm(width), nn.LeakyReLU(0.2)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute scores (batch,) of images (batch, 1, *size)."""
        found = self.features(self.scaling(x)).flatten(2)
        return self.head(self.drop(torch.cat([found.mean(2), found.amax(2)], 1)))[:, 0]

    def map_scores(self, x: Tensor) -> Tensor:
        """Compute the contribution of each position, (batch, *coarse size); their sum is the score without its bias.

        m(p) = w1 . f(p) / P + sum_c w2_c max_q f_c(q) [p is where channel c is largest]
        """
        found = self.features(self.scaling(x))
        flat = found.flatten(2)
        by_mean, by_max = self.head.weight[0].chunk(2)
        places = torch.einsum("bcp,c->bp", flat, by_mean) / flat.shape[2]
        largest = flat.max(2)
        places = places.scatter_add(1, largest.indices, largest.values * by_max)
        return places.view(len(x), *found.shape[2:])


def fit_classifier(
    network: SmallClassifier, real: Tensor, fake: Tensor, partners: list[list[int]], steps: int, batch: int, seed: int
) -> None:
    """Train the network to distinguish two sets; the result depends on the seed and the number of threads only.

    Args:
        network: the network, which is changed in place and left in evaluation mode.
        real, fake: images (n, 1, *size).
        partners: for each synthetic image, the indices of the real images with its facts, so that both sides have the
            same distribution of facts.
        steps, batch: number of steps and of images per step, half of them of each side.
        seed: seed of all random draws.
    """
    draw = torch.Generator().manual_seed(seed)
    half = batch // 2
    labels = torch.cat([torch.zeros(half), torch.ones(half)])
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    network.train()
    for _ in range(steps):
        fakes = torch.randint(len(fake), (half,), generator=draw)
        picks = torch.rand(half, generator=draw)
        reals = torch.tensor(
            [partners[i][int(u * len(partners[i]))] for i, u in zip(fakes.tolist(), picks.tolist(), strict=True)]
        )
        scores = network(torch.cat([real[reals], fake[fakes]]))
        loss = nn.functional.binary_cross_entropy_with_logits(scores, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()


@torch.inference_mode()
def compute_scores(network: SmallClassifier, images: Tensor, batch: int) -> Tensor:
    """Compute scores (n,) of images (n, 1, *size) in batches."""
    return torch.cat([network(part) for part in images.split(batch)])
