"""The small network of the learned two-sample test: convolutions, mean and maximum over all places, one score."""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 32, 48)  # channels of its layers
STRIDES = (2, 2, 1, 2)
MIN_DEVIATION = 0.01  # of voxels, in half the range; smaller ones count as this
MAX_DEVIATIONS = 5.0  # of a place; larger ones count as this


class InputScaling(nn.Module):
    """Images in deviations of all voxels, and where they are whole also in deviations of each place.

    The second channel shows what hardly varies over images, such as the background, as plainly as what does.

    Args:
        pixels: images that the deviations are taken from (n, 1, *size), in [-1, 1].
        by_place: whether the images lie over one another, so that a place means something.
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
        """(batch, channels, *size) of images (batch, 1, *size)."""
        overall = (x - self.mean) / self.deviation
        if self.place_mean is None:
            return overall
        by_place = (x - self.place_mean) / self.place_deviation
        return torch.cat([overall, by_place.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)], 1)


class SmallClassifier(nn.Module):
    """One score an image; positive = synthetic. The same layers serve images of every size.

        f = (convolution, norm, leaky ReLU) four times;  score = w1 . mean_p f(p) + w2 . max_p f(p) + b

    The mean finds faults that are everywhere, such as noise; the maximum those that are somewhere, such as a ring.

    Args:
        ndim: dimensions of the images, 2 or 3.
        scaling: of the images (batch, 1, *size) that it is given.
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
        """Scores (batch,) of images (batch, 1, *size)."""
        found = self.features(self.scaling(x)).flatten(2)
        return self.head(self.drop(torch.cat([found.mean(2), found.amax(2)], 1)))[:, 0]

    def map_scores(self, x: Tensor) -> Tensor:
        """What each place adds to the score, (batch, *coarse size): the sum over places is the score without its bias.

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
    """Train the network to tell two sets apart; deterministic for one seed and number of threads.

    Args:
        network: is changed in place, and left in evaluation mode.
        real, fake: images (n, 1, *size).
        partners: of each synthetic image the real ones with its facts, so that both sides show one mixture of them.
        steps, batch: each step sees half a batch of each side.
        seed: of what is drawn.
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
    """Scores (n,) of images (n, 1, *size), a batch at a time."""
    return torch.cat([network(part) for part in images.split(batch)])
