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

DRAWN_AT_MOST = 8  # largest number of samples drawn per requested sample, before the limit is refused as too strict

DrawFunction = Callable[[int], Iterator[Sample]]


def reject_worst_samples(
    snapshot: Snapshot, store: Store, n: int, share: float, draw_samples: DrawFunction
) -> Iterator[Sample]:
    """Draw more than `n` samples and leave out the share of them with the most artefacts; each record says so.

    The worst samples of each combination of facts are left out, so that the distribution of facts is unchanged. All
    samples are drawn twice, first for scoring, so that the samples that are kept are exactly those of the network.

    Args:
        snapshot: the snapshot, with its discriminator.
        store: the training set, as a reference of the score.
        n: number of samples that are kept.
        share: share of the samples that is left out, between 0 and 1.
        draw_samples: draws a number of samples, always the same ones.
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
        limit: largest score; 0 is a typical real image, and about one real image in twenty is above 1.

    Raises:
        Refused: among eight times as many samples, too few are within the limit.
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
                f"Only {len(chosen)} of {count} samples have a score for artefacts of at most {limit:g}, but {n} were"
                f" requested; the median is {np.median(quality.scores):.3g}. Give a higher --reject-above, or use"
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
    """Find the indices of the n best by rank within their facts."""
    groups: dict[frozenset[tuple[str, str]], list[int]] = defaultdict(list)
    for place, one in enumerate(facts):
        groups[frozenset(one.items())].append(place)
    rank = np.empty(len(facts))
    for places in groups.values():
        order = np.argsort(quality.scores[places], kind="stable")
        rank[np.asarray(places)[order]] = np.arange(len(places)) / len(places)
    return np.argsort(rank, kind="stable")[:n].tolist()
