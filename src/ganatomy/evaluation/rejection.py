"""Rejection of the samples with the most artefacts, by the score with which the report ranks failures."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

from ganatomy.checkpoint import Snapshot
from ganatomy.data.samples import Sample
from ganatomy.data.store import Store
from ganatomy.evaluation.failures import QualityScore, QualityScorer
from ganatomy.evaluation.images.sample_cache import SampleCache


def reject_worst_samples(
    snapshot: Snapshot, store: Store, n: int, share: float, draw_samples: Callable[[int], Iterator[Sample]]
) -> Iterator[Sample]:
    """`n` samples, so many more drawn that a share of them can be left out; each record says so.

    What is left out is the worst within each combination of facts, so that their mixture stays. Everything is drawn
    twice, once to be scored, so that what is kept is exactly what the network makes.

    Args:
        snapshot: with its discriminator.
        store: the training set, to tell what is ordinary.
        share: between 0 and 1.
        drawn: so many samples, always the same ones.
    """
    count = math.ceil(n / (1 - share))
    stack = SampleCache(draw_samples(count), count)
    chosen = set(_find_best(QualityScorer(store, stack.shape, snapshot)(stack), stack.facts(), n))
    for place, (image, record) in enumerate(draw_samples(count)):
        if place in chosen:
            yield image, {**record, "rejected_worst": f"{100 * share:g} %"}


def _find_best(quality: QualityScore, facts: list[dict[str, str]], n: int) -> list[int]:
    """Places of the n best by rank within their facts."""
    groups: dict[frozenset[tuple[str, str]], list[int]] = defaultdict(list)
    for place, one in enumerate(facts):
        groups[frozenset(one.items())].append(place)
    rank = np.empty(len(facts))
    for places in groups.values():
        order = np.argsort(quality.scores[places], kind="stable")
        rank[np.asarray(places)[order]] = np.arange(len(places)) / len(places)
    return np.argsort(rank, kind="stable")[:n].tolist()
