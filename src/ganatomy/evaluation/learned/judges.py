"""Classifiers that distinguish synthetic from training images, each trained on one half of the synthetic images.

A classifier's score of an image on which it was trained carries no information. Every synthetic image is therefore
scored by the classifier that was trained on the other half (cross-fitting).
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
STEPS, BATCH = 160, 24  # training steps of one classifier, and images per step
MIN_BATCH, BATCH_VOXELS = 8, 2**21  # batches of large images are smaller, with about this number of voxels
MIN_GROUPS = 8  # least number of patients, and of synthetic images, for a training

Scores = NDArray[np.float64]


class Judge:
    """The classifier of one view, trained on one half of the synthetic images.

    Args:
        view: the view of the images.
        real, fake: the images on which it is trained.
        partners: for each synthetic image, the indices of the real images with its facts.
        seed: seed of weights and batches.
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
        """Compute one score per image, the mean over its pieces; larger = more likely synthetic."""
        scores = compute_scores(self.network, images.pixels, BATCH)
        return np.asarray(scores.view(-1, images.pieces).mean(1).double())

    @torch.inference_mode()
    def map_scores(self, images: ShownImages) -> NDArray[np.float32]:
        """Compute the contribution of each voxel to the score of each whole image, at the size of the images."""
        coarse = self.network.map_scores(images.pixels)[:, None]
        size = images.pixels.shape[2:]
        smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear" if len(size) == 2 else "trilinear")
        return np.asarray(smooth[:, 0])


@dataclass(frozen=True)
class Judges:
    """A classifier for each view and each half of the synthetic images.

    Args:
        views: the views, coarse ones first.
        judges: one classifier per fold, by view.
        folds: indices of the synthetic images that the classifiers of each fold score.
        fake_scores: by view, the score of each synthetic image by the classifier that was not trained on it.
    """

    views: tuple[View, ...]
    judges: dict[str, list[Judge]]
    folds: list[list[int]]
    fake_scores: dict[str, Scores]

    def score_images(self, images: ImageSet, what: str) -> dict[str, Scores]:
        """Compute scores (folds, images) by view, for images on which no classifier was trained."""
        limit, found = limit_images(images.shape), []
        for start in range(0, len(images), limit):
            part = ImageSubset(images, range(start, min(start + limit, len(images))))
            shown = show_images(part, self.views, what)
            found.append({name: np.stack([one.score(shown[name]) for one in own]) for name, own in self.judges.items()})
        return {view.name: np.concatenate([part[view.name] for part in found], 1) for view in self.views}

    def compute_departures(self, ordinary: ImageSet) -> Scores:
        """Compute how far each synthetic image's score is from those of real images: (images,), larger = less real.

        The result is the mean over the views of (score - median) / deviation, with median and deviation over real
        images on which no classifier was trained.
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
        fakes: synthetic images with the facts of real images.
        seed: seed of folds, weights and batches; the result also depends on the number of threads.
        numbers: facts that are numbers, in which partners need not agree.

    Raises:
        Refused: there are fewer than eight patients or synthetic images, or no training image has their facts.
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
    taught = [fold[: max(1, limit // FOLDS)] for fold in folds]  # images on which classifiers are trained
    real = show_images(train, views, "training images")
    parts = [show_images(ImageSubset(fakes, part), views, "synthetic images") for part in taught]
    judges: dict[str, list[Judge]] = defaultdict(list)
    scores = {view.name: np.zeros(len(fakes)) for view in views}
    with progress.bar("training classifiers", FOLDS * len(views)) as bar:
        for view in views:
            for fold in range(FOLDS):
                own = [partners[i] for i in taught[1 - fold]]
                judge = Judge(view, real[view.name], parts[1 - fold][view.name], own, seed + fold)
                judges[view.name].append(judge)
                scores[view.name][taught[fold]] = judge.score(parts[fold][view.name])
                bar.advance()
    for fold in range(FOLDS):  # the remaining images, in parts
        for start in range(len(taught[fold]), len(folds[fold]), limit):
            places = folds[fold][start : start + limit]
            shown = show_images(ImageSubset(fakes, places), views, "synthetic images")
            for name, own_judges in judges.items():
                scores[name][places] = own_judges[fold].score(shown[name])
    return Judges(views, dict(judges), folds, scores)


def split_by_group(images: ImageSet, seed: int) -> list[list[int]]:
    """Split images into folds (indices); a patient is never divided, and each combination of facts is halved."""
    facts, groups = images.facts(), images.groups()
    kinds: dict[str, list[str]] = defaultdict(list)  # the facts of each group
    for one, group in zip(facts, groups, strict=True):
        kinds[group].append(str(sorted(one.items())))
    rng = np.random.default_rng(seed)
    names = sorted(kinds)
    order = sorted(rng.permutation(len(names)), key=lambda i: sorted(kinds[names[i]]))  # stable: random within a kind
    fold_of = {names[i]: place % FOLDS for place, i in enumerate(order)}
    return [[i for i, group in enumerate(groups) if fold_of[group] == fold] for fold in range(FOLDS)]


def _limit_images(images: ImageSet) -> ImageSet:
    """Select evenly as many images as may be held in memory."""
    limit = limit_images(images.shape)
    if len(images) <= limit:
        return images
    return ImageSubset(images, np.linspace(0, len(images) - 1, limit).round().astype(int).tolist())


def _find_partners(own: list[dict[str, str]], train: list[dict[str, str]]) -> list[list[int]]:
    """Find, for each synthetic image, the training images with its facts."""
    known = [frozenset(facts.items()) for facts in train]
    found = {
        wanted: [i for i, facts in enumerate(known) if wanted <= facts]
        for wanted in {frozenset(facts.items()) for facts in own}
    }
    if missing := next((dict(wanted) for wanted, places in found.items() if not places), None):
        raise Refused(f"needs training images with the facts {missing} of a synthetic image; there are none")
    return [found[frozenset(facts.items())] for facts in own]
