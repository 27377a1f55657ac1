"""Measure how every metric responds to known degradations of the samples; writes the table of docs/evaluation.md.

    python benchmarks/degradations.py [--quick] [--write]

There are three cohorts of phantom mammograms of different women: the training set, the held-out set, and new phantoms
as the samples of a perfect model. These samples are blurred, made noisy, reduced in contrast, deprived of modes, or
replaced by jittered training images. Four further perfect sets show how much each metric varies by chance. A value that
lies outside the chance range by more than the width of the range is printed bold. `--write` puts the table between the
marks in docs/evaluation.md. The last line is JSON.
"""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

from ganatomy.data.prepare import prepare
from ganatomy.evaluation.evidence import gather_evidence
from ganatomy.evaluation.extractors.handcrafted import Handcrafted
from ganatomy.evaluation.extractors.random_resnet import RandomResNet
from ganatomy.evaluation.image_statistics import measure_images
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import RealImages, pair_facts
from ganatomy.evaluation.metrics.ms_ssim import LIKENESS_OF_PAIRS
from ganatomy.evaluation.metrics.swd import extract_descriptors
from ganatomy.evaluation.metrics.table import score_features
from ganatomy.evaluation.privacy.audit import audit_privacy
from ganatomy.evaluation.privacy.planted import jitter_image
from ganatomy.evaluation.swd_scores import make_swd_reference
from ganatomy.imaging.image import Image
from ganatomy.machine import progress
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.phantoms.cohort import write_cohort

DOCUMENT = Path(__file__).parents[1] / "docs" / "evaluation.md"
BEGIN, END = "<!-- degradations -->", "<!-- end of degradations -->"
PERFECT = 5  # number of sets of a perfect model; the first is degraded

ROWS = (
    "SWD x 1000",
    "Frechet distance (random)",
    "KID (random)",
    "MMD (random)",
    "precision (random)",
    "recall (random)",
    "coverage (random)",
    "Vendi score (random)",
    "classifier AUC (random)",
    "Frechet distance (handcrafted)",
    "MS-SSIM of pairs",
    "beta, Wasserstein",
    "mean value, Wasserstein",
    "deviation, Wasserstein",
    "density (%), Wasserstein",
    "background (%), Wasserstein",
    "distance share",
    "membership AUC",
    "suspects",
    "audit",
)


def store_of(folder, seed, patients, shape):
    raw = folder / f"raw{seed}"
    write_cohort("mammogram", raw, patients, seed=seed, shape=shape)
    return prepare(raw, Mammogram(shape=shape), folder / f"store{seed}")


def images(reals):
    return [
        (Image(image, None, facts), {"file": str(i)})
        for i, (image, facts) in enumerate(zip(reals, reals.facts(), strict=True))
    ]


def degraded(samples, train, rng):
    """Degraded samples by the name of the degradation."""

    def each(change):
        return [(one.copy_with(pixels=np.clip(change(one.pixels), -1, 1).astype(np.float32)), r) for one, r in samples]

    def fewer(times):
        """Keep every n-th image of each view and side and repeat it."""
        places = {}
        for i, (one, _) in enumerate(samples):
            places.setdefault(tuple(one.facts.values()), []).append(i)
        shown = {key: own[: max(1, len(own) // times)] for key, own in places.items()}
        kept = []
        for i, (one, record) in enumerate(samples):
            own = shown[tuple(one.facts.values())]
            kept.append((samples[own[i % len(own)]][0], record))
        return kept

    def copied(share):
        partners = pair_facts([one.facts for one, _ in samples], train.facts())
        chosen = set(rng.choice(len(samples), round(share * len(samples)), replace=False).tolist())
        return [
            (one.copy_with(pixels=jitter_image(train[partners[i]], rng)), r) if i in chosen else (one, r)
            for i, (one, r) in enumerate(samples)
        ]

    return {
        "blur 0.5": each(lambda p: ndimage.gaussian_filter(p, 0.5)),
        "blur 1": each(lambda p: ndimage.gaussian_filter(p, 1)),
        "noise 0.02": each(lambda p: p + rng.normal(size=p.shape) * 0.02),
        "noise 0.1": each(lambda p: p + rng.normal(size=p.shape) * 0.1),
        "contrast 0.9": each(lambda p: (p + 1) * 0.9 - 1),
        "contrast 0.7": each(lambda p: (p + 1) * 0.7 - 1),
        "modes 1/5": fewer(5),
        "modes 1/20": fewer(20),
        "copies 2 %": copied(0.02),
        "copies 50 %": copied(0.5),
    }


def measured(samples, train, test, floor, extractor, measure):
    """Compute a column of the table for one set of samples."""
    stack = SampleCache(samples, len(samples))
    sides = Comparison(Mammogram(), test, train, floor, stack, list(range(len(stack))), {}, None, True)
    found = {}
    for one in (extractor, Handcrafted(sides.other_train)):
        for row in score_features(gather_evidence(sides, one)):
            found[f"{row.metric} ({one.name})"] = getattr(row, "value", None)
    table = measure_images(sides)
    privacy = audit_privacy(sides, extractor)
    pixels = privacy["spaces"][0]
    distances = {
        "beta": table["spectrum"]["beta"],
        "mean value": table["moments"]["mean"],
        "deviation": table["moments"]["deviation"],
        "density (%)": table["measures"]["density (% of area)"],
        "background (%)": table["measures"]["background level (% of white)"],
    }
    return {
        **found,
        **{f"{name}, Wasserstein": one["synthetic_against_test"]["wasserstein"] for name, one in distances.items()},
        "SWD x 1000": measure.compute_score([extract_descriptors(stack, measure.protocol, "fakes")]).average,
        "MS-SSIM of pairs": LIKENESS_OF_PAIRS.score(gather_evidence(sides, extractor)).value,
        "distance share": pixels["distance_share"]["value"],
        "membership AUC": pixels["membership"]["auc"],
        "suspects": float(pixels["suspects"]["count"]),
        "audit": "passed" if privacy["passed"] else "failed",
    }


def table(perfect, worse):
    """Format the table as Markdown."""
    lines = ["| | chance range | " + " | ".join(worse) + " |", "|---|---|" + "---|" * len(worse)]
    moved = {}
    for name in ROWS:
        if name == "audit":
            cells = [row[name] if row[name] == "passed" else f"**{row[name]}**" for row in worse.values()]
            lines.append(f"| audit | {', '.join(sorted({row[name] for row in perfect}))} | {' | '.join(cells)} |")
            moved[name] = [key for key, row in worse.items() if row[name] == "failed"]
            continue
        if any(row.get(name) is None for row in [*perfect, *worse.values()]):
            continue  # there are too few images for this metric
        chance = [row[name] for row in perfect]
        low, high = min(chance), max(chance)
        width = max(high - low, 1e-9)
        cells, moved[name] = [], []
        for key, row in worse.items():
            out = row[name] < low - width or row[name] > high + width
            cells.append(f"**{row[name]:.3g}**" if out else f"{row[name]:.3g}")
            moved[name] += [key] if out else []
        lines.append(f"| {name} | {low:.3g} to {high:.3g} | {' | '.join(cells)} |")
    return "\n".join(lines), moved


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    patients, shape = (12, (80, 64)) if options.quick else (60, (160, 128))
    progress.quiet = True
    with tempfile.TemporaryDirectory() as folder:
        stores = [store_of(Path(folder), seed, patients, shape) for seed in range(2 + PERFECT)]
        train, test, *fresh = (  # patients of different cohorts have the same numbers but are different women
            RealImages(store, [{**case, "patient": f"{seed} {case['patient']}"} for case in store.cases], shape)
            for seed, store in enumerate(stores)
        )
        half = train.select_cases(
            train.cases[: len(train) // 2]
        )  # half of the training set is for the floor, the rest for the principal axes
        test = test.select_cases(test.cases[: len(half)])
        fresh = [one.select_cases(one.cases[: len(half)]) for one in fresh]
        extractor = RandomResNet(2)
        measure = make_swd_reference(test, half)
        rng = np.random.default_rng(0)
        sets = {f"perfect {i}": images(one) for i, one in enumerate(fresh)}
        sets |= degraded(sets["perfect 0"], train, rng)
        found = {}
        for name, samples in sets.items():
            found[name] = measured(samples, train, test, half, extractor, measure)
            print(name, json.dumps(found[name]), file=sys.stderr, flush=True)
    perfect = [found.pop(f"perfect {i}") for i in range(PERFECT)]
    text, moved = table(perfect, found)
    print(text)
    if options.write:
        old = DOCUMENT.read_text()
        before, rest = old.split(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
    print(
        json.dumps(
            {
                "name": "degradations",
                "images_a_side": len(half),
                "patients": patients,
                "shape": list(shape),
                "moved": moved,
                "device": platform.processor() or platform.machine(),
                "ratio": None,
                "opponent": None,
                "runs": PERFECT,
            }
        )
    )


if __name__ == "__main__":
    main()
