"""Precision, recall and variety against truncation: a table for docs/evaluation.md.

    python benchmarks/truncation.py OUT [--model RUN] [--bounds 0.4 0.6 0.8] [--images 160]

Samples of a model of phantom mammograms (by default the example model) are drawn with each bound of `sample
--truncation` and without one, with the same seed and therefore the same facts, and compared with the held-out phantoms
of the leaderboard in the features of the random network. The floor is that of equally many training images.
"""

import argparse
from pathlib import Path

from leaderboard import SEED, TASKS, make_stores

import ganatomy
from ganatomy.evaluation.evidence import gather_evidence
from ganatomy.evaluation.extractors.table import get_extractor
from ganatomy.evaluation.images.comparison import ComparisonRequest, gather_comparison
from ganatomy.evaluation.metrics.precision_recall import COVERAGE, PRECISION, RECALL
from ganatomy.evaluation.metrics.variety import MEAN_DISTANCE
from ganatomy.evaluation.statistics import Score
from ganatomy.modalities.facts import FactSource

TASK = "phantom-mammograms"
METRICS = (PRECISION, RECALL, COVERAGE, MEAN_DISTANCE)


def measure(samples, store, held_out):
    """The scores of a folder of samples, in the order of `METRICS`."""
    compared = gather_comparison(samples, store, ComparisonRequest(None, SEED, FactSource(), None, held_out.path, 0))
    extractor = get_extractor("random", len(compared.test.shape), compared.other_train, None)
    evidence = gather_evidence(compared, extractor)
    scores = [metric.score(evidence, SEED) for metric in METRICS]
    assert all(isinstance(score, Score) for score in scores), "there are enough images"
    return scores


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path, default=ganatomy.get_example_model())
    parser.add_argument("--bounds", type=float, nargs="+", default=[0.4, 0.6, 0.8])
    parser.add_argument("--images", type=int, default=160)
    told = parser.parse_args()
    store, held_out = make_stores(told.out / TASK, TASKS[TASK], None)
    rows = []
    for bound in (*told.bounds, None):
        folder = told.out / f"samples-{bound}"
        if not folder.exists():
            ganatomy.sample(told.model, n=told.images, seed=SEED, truncation=bound, out=folder, to="npy")
        scores = measure(folder, store, held_out)
        rows.append((f"{bound:g}" if bound else "none", [f"{score.value:.3g}" for score in scores]))
        floors = [f"{score.floor:.3g}" for score in scores]
    rows.append(("training images (floor)", floors))
    print("| truncation |", " | ".join(metric.name for metric in METRICS), "|")
    print("|---" * (len(METRICS) + 1) + "|")
    for name, values in rows:
        print(f"| {name} |", " | ".join(values), "|")
    print(f"\n{told.images} samples and {len(held_out.cases)} held-out images of each side, seed {SEED}.")


if __name__ == "__main__":
    main()
