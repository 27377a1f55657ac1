"""From how many patients on the report sees a fault, and how often it accuses a set that has none.

    python benchmarks/verdicts.py [--quick] [--write]

Phantom mammograms of different women stand for training patients, held-out patients and samples of a perfect model (one
image a woman). The samples are then blurred, given rings, haze, a grid, lit corners and other faults. For each fault
and each number of held-out patients the table shows the largest AUC of the learned two-sample test over its sizes with
its p, and what the report would call poor: likeness (L) or variety (V). Divisions without a fault say how often a good
set is accused. `--write` puts the tables between the marks in docs/evaluation.md. The last line is JSON.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from ganatomy.data.prepare import prepare
from ganatomy.evaluation.evidence import gather_evidence
from ganatomy.evaluation.extractors.random_resnet import RandomResNet
from ganatomy.evaluation.image_statistics import measure_images
from ganatomy.evaluation.images.comparison import Comparison
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import RealImages, pair_facts
from ganatomy.evaluation.learned.two_sample import attempt_learned_test
from ganatomy.evaluation.metrics.variety import MEAN_DISTANCE
from ganatomy.evaluation.set_faults import find_set_faults
from ganatomy.evaluation.verdicts import judge_report
from ganatomy.imaging.image import Image
from ganatomy.machine import progress
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.phantoms.cohort import write_cohort

DOCUMENT = Path(__file__).parents[1] / "docs" / "evaluation.md"
BEGIN, END = "<!-- verdicts -->", "<!-- end of verdicts -->"
SHAPE = (80, 64)
SAMPLES = 80  # synthetic images, one of each of as many women
COUNTED = 20  # held-out patients of the divisions without a fault
AUDIT_STANDS_ASIDE = {"passed": True, "verdict": "", "power": [{"detected": 1.0}]}  # benchmarks/degradations.py has it


def draw_rings(p, rng):
    """Every dense gland becomes a ring with a dark middle, as hardly trained models draw it."""
    grey = (p + 1) / 2
    dense = ndimage.gaussian_filter((grey > np.quantile(grey[grey > 0.05], 0.8)).astype(float), 1.5)
    edge = ndimage.gaussian_gradient_magnitude(dense, 1.0)
    return (grey * (1 - 0.25 * dense) + 0.12 * edge / (edge.max() + 1e-6)) * 2 - 1


def draw_grid(strength):
    """Every second column is brighter, within the breast."""
    return lambda p, rng: p + strength * (np.indices(p.shape)[1] % 2 * 2 - 1) * (p > -0.95)


def light_corners(p, rng):
    """Two corners at a tenth of full scale."""
    rows, columns = np.indices(p.shape)
    return np.where((np.minimum(rows, p.shape[0] - 1 - rows) < 5) & (columns >= p.shape[1] - 5), np.maximum(p, -0.8), p)


FAULTS = {
    "none": lambda p, rng: p,
    "blur 0.5": lambda p, rng: ndimage.gaussian_filter(p, 0.5),
    "blur 1": lambda p, rng: ndimage.gaussian_filter(p, 1),
    "noise 0.02": lambda p, rng: p + 0.02 * rng.normal(size=p.shape),
    "contrast 0.9": lambda p, rng: (p + 1) * 0.9 - 1,
    "rings": draw_rings,
    "haze 0.02": lambda p, rng: np.maximum(p, -0.96),
    "grid 0.02": draw_grid(0.02),
    "grid 0.1": draw_grid(0.1),
    "lit corners 0.1": light_corners,
}
SETS = (*FAULTS, "one view missing", "modes 1/5", "modes 1/20", "copies 50 %")


def make_store(folder, patients):
    """All women of the trial, as one store."""
    write_cohort("mammogram", folder / "raw", patients, seed=3, shape=SHAPE)
    return prepare(folder / "raw", Mammogram(shape=SHAPE), folder / "store")


def divide(store, seed, held_out, training):
    """Held-out women, women of the samples with one image each, and training women, all different."""
    names = sorted({case["patient"] for case in store.cases})
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    own = {name: [] for name in names}
    for case in store.cases:
        own[case["patient"]].append(case)
    sides = order[:held_out], order[held_out : held_out + SAMPLES], order[held_out + SAMPLES :][:training]
    test, fakes, train = ([case for name in side for case in own[name]] for side in sides)
    fakes = [own[name][i % len(own[name])] for i, name in enumerate(sides[1])]
    return tuple(RealImages(store, cases, SHAPE) for cases in (train, test, fakes))


def make_samples(fakes, train, fault, rng):
    """The samples of a model that is perfect but for one fault."""
    pixels, facts = list(fakes), fakes.facts()
    if fault in FAULTS:
        pixels = [FAULTS[fault](image, rng) for image in pixels]
    elif fault == "one view missing":  # every image asked for as MLO is a CC image
        views = [i for i, fact in enumerate(facts) if fact["view_position"] == "CC"]
        pixels = [
            pixels[views[i % len(views)]] if fact["view_position"] == "MLO" else pixels[i]
            for i, fact in enumerate(facts)
        ]
    elif fault.startswith("modes"):
        times = int(fault.split("/")[1])
        places = {}
        for i, fact in enumerate(facts):
            places.setdefault(str(fact), []).append(i)
        shown = {key: own[: max(1, len(own) // times)] for key, own in places.items()}
        pixels = [pixels[shown[str(fact)][i % len(shown[str(fact)])]] for i, fact in enumerate(facts)]
    else:
        partners = pair_facts(facts, train.facts())
        pixels = [train[partners[i]] if i % 2 else image for i, image in enumerate(pixels)]
    return [
        (Image(np.clip(image, -1, 1).astype(np.float32), None, fact), {"file": str(i)})
        for i, (image, fact) in enumerate(zip(pixels, facts, strict=True))
    ]


def judge(train, test, fakes, fault, seed):
    """What the report would say, without its audit."""
    stack = SampleCache(make_samples(fakes, train, fault, np.random.default_rng(seed)), len(fakes))
    places = [i for i in pair_facts(test.facts(), stack.facts()) if i is not None]
    kept = [case for case, i in zip(test.cases, pair_facts(test.facts(), stack.facts()), strict=True) if i is not None]
    floor = train.select_cases(train.cases[: len(places)])
    sides = Comparison(Mammogram(), test.select_cases(kept), train, floor, stack, places, {}, None, True)
    begun = time.process_time()
    learned, _ = attempt_learned_test(train, test, stack, list(range(len(stack))), seed)
    seconds = time.process_time() - begun
    variety = MEAN_DISTANCE.score(gather_evidence(sides, RandomResNet(2)))
    content = {
        "learned": learned,
        "separations": measure_images(sides, seed)["separations"],
        "set_faults": find_set_faults(stack, test),
        "scores": [variety.model_dump()] if hasattr(variety, "value") else [],
        "privacy": AUDIT_STANDS_ASIDE,
        "compared": {"patients": len(set(test.groups())), "validation_images": 0},
    }
    poor = [one.question for one in judge_report(content) if one.answer == "poor"]
    areas = {row["view"]: row["auc"] for row in learned.get("views", [])}
    return {
        "auc": max(areas.values(), default=None),
        "areas": areas,
        "p": learned.get("p"),
        "measure": max(content["separations"], key=lambda row: row["auc"])["measure"],
        "poor": [name for name in poor if name in ("likeness", "variety")],
        "intervals_cover": all(row["low"] <= 0.5 for row in learned.get("views", [])),
        "seconds": seconds,
    }


def describe(found):
    if found["auc"] is None:
        return "not made" + ("".join(f", {name[0].upper()}" for name in found["poor"]))
    letters = "".join(name[0].upper() for name in found["poor"])
    text = f"{found['auc']:.2f} (p {found['p']:.2g})" + (f" **{letters}**" if letters else "")
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    counts, clean, training = ((10, 20), 3, 40) if options.quick else ((10, 20, 50, 125, 500), 20, 120)
    progress.quiet = True
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), counts[-1] + SAMPLES + training)
        table, seconds = {fault: {} for fault in SETS}, []
        for count in counts:
            train, test, fakes = divide(store, 0, count, training)
            for fault in SETS:
                table[fault][count] = found = judge(train, test, fakes, fault, 0)
                seconds.append(found["seconds"])
                print(count, fault, json.dumps(found), file=sys.stderr, flush=True)
        divisions = []
        for seed in range(1, clean + 1):
            divisions.append(judge(*divide(store, seed, COUNTED, training), "none", seed))
            print("clean", seed, json.dumps(divisions[-1]), file=sys.stderr, flush=True)
    accused = sum("likeness" in one["poor"] for one in divisions)
    varied = sum("variety" in one["poor"] for one in divisions)
    covered = sum(one["intervals_cover"] for one in divisions)
    lines = [
        "| fault | " + " | ".join(f"{count} patients" for count in counts) + " |",
        "|---|" + "---|" * len(counts),
        *(f"| {fault} | " + " | ".join(describe(table[fault][count]) for count in counts) + " |" for fault in SETS),
        "",
        f"Of {clean} divisions of {COUNTED} held-out patients without a fault the report calls the likeness of"
        f" {accused} and the variety of {varied} poor; in {covered} all intervals of the AUC reach down to 0.5 or"
        f" below. One test took {np.median(seconds):.0f} s of CPU time (median of {len(seconds)}; {SAMPLES}"
        f" samples of {SHAPE[0]} x {SHAPE[1]}, {training} training patients).",
    ]
    text = "\n".join(lines)
    print(text)
    if options.write:
        before, rest = DOCUMENT.read_text().split(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
    print(
        json.dumps(
            {
                "name": "verdicts",
                "samples": SAMPLES,
                "accused": {"likeness": accused, "variety": varied, "of": clean},
                "seconds_a_test": float(np.median(seconds)),
                "device": platform.processor() or platform.machine(),
                "ratio": None,
                "opponent": None,
                "runs": clean,
            }
        )
    )


if __name__ == "__main__":
    main()
