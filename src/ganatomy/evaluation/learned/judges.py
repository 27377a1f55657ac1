"""Classifiers that tell synthetic from training images, each trained on one half of the synthetic images.

What a classifier says of images that it was trained on is worthless, so every synthetic image is scored by the one that
was trained on the other half (cross-fitting).
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ganatomy.errors import Refused
from ganatomy.evaluation.images.image_set import ImageSet, ImageSubset
from ganatomy.evaluation.images.sets import drop_numbers
from ganatomy.evaluation.learned.network import InputScaling, SmallClassifier, compute_scores, fit_classifier
from ganatomy.evaluation.learned.views import ShownImages, View, limit_images, list_views, show_images
from ganatomy.evaluation.statistics import compute_median_and_width
from ganatomy.machine import progress

FOLDS = 2
STEPS, BATCH = 160, 24  # of the training of one classifier
MIN_BATCH, BATCH_VOXELS = 8, 2**21  # large images are seen in smaller batches of about so many voxels
MIN_GROUPS = 8  # patients, and synthetic images, below which nothing is learned

Scores = NDArray[np.float64]


class Judge:
    """The classifier of one view, trained on one half of the synthetic images.

    Args:
        view: how images are shown to it.
        real, fake: what it is trained on.
        partners: of each synthetic image the real ones with its facts.
        seed: of weights and batches.
    """

    def __init__(self, view: View, real: ShownImages, fake: ShownImages, partners: list[list[int]], seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            scaling = InputScaling(torch.cat([real.pixels, fake.pixels]), by_place=view.patch is None)
            self.network = SmallClassifier(real.pixels.ndim - 2, scaling)
            pieces = [[j * real.pieces + k for j in own] for own in partners for k in range(fake.pieces)]
            batch = min(BATCH, max(MIN_BATCH, BATCH_VOXELS // real.pixels[0].numel()))
            fit_classifier(self.network, real.pixels, fake.pixels, pieces, STEPS, batch, seed)

    def score(self, images: ShownImages) -> Scores:
        """One score an image, the mean over its pieces; larger = more likely synthetic."""
        scores = compute_scores(self.network, images.pixels, BATCH)
        return np.asarray(scores.view(-1, images.pieces).mean(1).double())

    @torch.inference_mode()
    def map_scores(self, images: ShownImages) -> NDArray[np.float32]:
        """What each place adds to the score of each whole image, at the images' own size."""
        coarse = self.network.map_scores(images.pixels)[:, None]
        size = images.pixels.shape[2:]
        smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear" if len(size) == 2 else "trilinear")
        return np.asarray(smooth[:, 0])


@dataclass(frozen=True)
class Judges:
    """A classifier for each view and each half of the synthetic images.

    Args:
        views: coarse ones first.
        judges: by view, one a fold.
        folds: places of the synthetic images that the classifiers of each fold are asked about.
        fake_scores: by view, the score of each synthetic image, from the classifier that was not trained on it.
    """

    views: tuple[View, ...]
    judges: dict[str, list[Judge]]
    folds: list[list[int]]
    fake_scores: dict[str, Scores]

    def score_images(self, images: ImageSet, what: str) -> dict[str, Scores]:
        """Scores (folds, images) by view of images that no classifier was trained on."""
        limit, found = limit_images(images.shape), []
        for start in range(0, len(images), limit):
            part = ImageSubset(images, range(start, min(start + limit, len(images))))
            shown = show_images(part, self.views, what)
            found.append({name: np.stack([one.score(shown[name]) for one in own]) for name, own in self.judges.items()})
        return {view.name: np.concatenate([part[view.name] for part in found], 1) for view in self.views}

    def compute_departures(self, ordinary: ImageSet) -> Scores:
        """How far each synthetic image is from what is usual of real ones: (images,), larger = less real.

        The mean over the views of its score less the median of real images that no classifier has seen, in their
        deviations.
        """
        usual = self.score_images(ordinary, "validation images")
        departures = np.zeros((len(self.views), len(self.fake_scores[self.views[0].name])))
        for row, view in zip(departures, self.views, strict=True):
            for fold, places in enumerate(self.folds):
                middle, width = compute_median_and_width(usual[view.name][fold])
                row[places] = (self.fake_scores[view.name][places] - middle) / width
        return np.asarray(departures.mean(0))


def fit_judges(train: ImageSet, fakes: ImageSet, seed: int = 0, numbers: Collection[str] = ()) -> Judges:
    """Train the classifiers of all views.

    Args:
        train: real images of training patients.
        fakes: synthetic images, with the facts of real ones.
        seed: of folds, weights and batches; one seed gives one result for one number of threads.
        numbers: facts that are no classes, and in which partners need not agree.

    Raises:
        Refused: fewer than eight patients or synthetic images, or facts that no training image has.
    """
    patients, samples = (len(set(images.groups())) for images in (train, fakes))
    if min(patients, samples) < MIN_GROUPS:
        raise Refused(
            f"needs {MIN_GROUPS} training patients and as many synthetic images; there are {patients} and {samples}"
        )
    views = list_views(train.shape)
    train = _limit_images(train)
    partners = _find_partners(*(drop_numbers(images.facts(), numbers) for images in (fakes, train)))
    folds = split_by_group(fakes, seed)
    limit = limit_images(fakes.shape)
    taught = [fold[: max(1, limit // FOLDS)] for fold in folds]  # those that classifiers are trained on
    real = show_images(train, views, "training images")
    parts = [show_images(ImageSubset(fakes, part), views, "synthetic images") for part in taught]
    judges: dict[str, list[Judge]] = defaultdict(list)
    scores = {view.name: np.zeros(len(fakes)) for view in views}
    with progress.bar("learning to tell apart", FOLDS * len(views)) as bar:
        for view in views:
            for fold in range(FOLDS):
                own = [partners[i] for i in taught[1 - fold]]
                judge = Judge(view, real[view.name], parts[1 - fold][view.name], own, seed + fold)
                judges[view.name].append(judge)
                scores[view.name][taught[fold]] = judge.score(parts[fold][view.name])
                bar.advance()
    for fold in range(FOLDS):  # the others, a part at a time
        for start in range(len(taught[fold]), len(folds[fold]), limit):
            places = folds[fold][start : start + limit]
            shown = show_images(ImageSubset(fakes, places), views, "synthetic images")
            for name, own_judges in judges.items():
                scores[name][places] = own_judges[fold].score(shown[name])
    return Judges(views, dict(judges), folds, scores)


def split_by_group(images: ImageSet, seed: int) -> list[list[int]]:
    """Places of the images of each fold; a patient is never divided, and each combination of facts is halved."""
    facts, groups = images.facts(), images.groups()
    kinds: dict[str, list[str]] = defaultdict(list)  # the facts of each group
    for one, group in zip(facts, groups, strict=True):
        kinds[group].append(str(sorted(one.items())))
    rng = np.random.default_rng(seed)
    names = sorted(kinds)
    order = sorted(rng.permutation(len(names)), key=lambda i: sorted(kinds[names[i]]))  # stable: drawn within a kind
    fold_of = {names[i]: place % FOLDS for place, i in enumerate(order)}
    return [[i for i, group in enumerate(groups) if fold_of[group] == fold] for fold in range(FOLDS)]


def _limit_images(images: ImageSet) -> ImageSet:
    """As many images as may be held in memory, evenly from all."""
    limit = limit_images(images.shape)
    if len(images) <= limit:
        return images
    return ImageSubset(images, np.linspace(0, len(images) - 1, limit).round().astype(int).tolist())


def _find_partners(own: list[dict[str, str]], train: list[dict[str, str]]) -> list[list[int]]:
    """Of the facts of each synthetic image the training images that have them."""
    known = [frozenset(facts.items()) for facts in train]
    found = {
        wanted: [i for i, facts in enumerate(known) if wanted <= facts]
        for wanted in {frozenset(facts.items()) for facts in own}
    }
    if missing := next((dict(wanted) for wanted, places in found.items() if not places), None):
        raise Refused(f"needs training images with the facts {missing} of a synthetic image; there are none")
    return [found[frozenset(facts.items())] for facts in own]
