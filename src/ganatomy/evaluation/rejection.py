"""Rejection of the samples with the most artefacts, by the score with which the report ranks failures."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

from ganatomy.checkpoint import Snapshot
from ganatomy.data.samples import Sample
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.failures import QualityScore, QualityScorer
from ganatomy.evaluation.images.sample_cache import SampleCache

DRAWN_AT_MOST = 8  # samples drawn for each that is wanted, before a limit of the score is called too strict

DrawFunction = Callable[[int], Iterator[Sample]]


def reject_worst_samples(
    snapshot: Snapshot, store: Store, n: int, share: float, draw_samples: DrawFunction
) -> Iterator[Sample]:
    """Draw so many more than `n` samples that a share of them can be left out; each record says so.

    What is left out is the worst within each combination of facts, so that their mixture stays. Everything is drawn
    twice, once to be scored, so that what is kept is exactly what the network makes.

    Args:
        snapshot: with its discriminator.
        store: the training set, to tell what is ordinary.
        n: samples that are kept.
        share: between 0 and 1.
        draw_samples: draws so many samples, always the same ones.
    """
    count = math.ceil(n / (1 - share))
    quality, facts = _score_samples(snapshot, store, count, draw_samples)
    chosen = set(_find_best(quality, facts, n))
    for place, (image, record) in enumerate(draw_samples(count)):
        if place in chosen:
            yield image, {**record, "rejected_worst": f"{100 * share:g} %"}


def reject_samples_above(
    snapshot: Snapshot, store: Store, n: int, limit: float, draw_samples: DrawFunction
) -> Iterator[Sample]:
    """Draw until `n` samples have a score for artefacts of at most `limit`; each record says so.

    Args:
        snapshot, store, n, draw_samples: as in `reject_worst_samples`.
        limit: of the score; 0 is a typical real image, and about one real image in twenty is above 1.

    Raises:
        Refused: too few of eight times as many samples are within the limit.
    """
    count = n
    while True:
        count *= 2
        quality, _ = _score_samples(snapshot, store, count, draw_samples)
        chosen = set(np.flatnonzero(quality.scores <= limit)[:n].tolist())
        if len(chosen) == n:
            break
        if count >= DRAWN_AT_MOST * n:
            raise Refused(
                f"Only {len(chosen)} of {count} samples have a score for artefacts of at most {limit:g}, and {n} are"
                f" wanted; the median is {np.median(quality.scores):.3g}. Give a higher --reject-above, or use"
                " --reject-worst."
            )
    for place, (image, record) in enumerate(draw_samples(count)):
        if place in chosen:
            yield image, {**record, "rejected_above": limit}


def _score_samples(
    snapshot: Snapshot, store: Store, count: int, draw_samples: DrawFunction
) -> tuple[QualityScore, list[dict[str, str]]]:
    stack = SampleCache(draw_samples(count), count)
    return QualityScorer(store, stack.shape, snapshot)(stack), stack.facts()


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
