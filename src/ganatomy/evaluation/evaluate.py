"""The verb: compare images with the test patients of a store and write a report."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy import progress
from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.data.store import Store, open_store
from ganatomy.durable import new_folder, read_lines, write_json
from ganatomy.evaluation import figures, report
from ganatomy.evaluation.measured import yardstick
from ganatomy.evaluation.metrics.nearest import ROWS, averaged, nearest, vectors
from ganatomy.evaluation.metrics.swd import descriptors
from ganatomy.evaluation.sets import Reals, reals, wishes
from ganatomy.exporting import Sample, read_samples
from ganatomy.image import Image
from ganatomy.modalities import table as modalities
from ganatomy.pyramid import written
from ganatomy.refused import Refused
from ganatomy.sampling import sample

MOST = 512  # images a side unless --n says otherwise: they are held in memory
FEWEST = 4  # images a side below which a distance says nothing
SHOWN = 24  # images in a grid
MOST_NEIGHBOURS = 4096  # training images looked through for copies


def evaluate(
    images: Path | str, store: Store | Path | str | None = None, out: Path | str = "report", n: int | None = None,
    seed: int = 1000,
) -> dict[str, Any]:  # fmt: skip
    """Measure samples against test patients; write ``report.json``, ``report.html`` and the pictures.

    Args:
        images: a folder of PNG or NPY samples, or a run or snapshot, which draws its own samples with the facts of the
            test images.
        store: the real images; for a run None = the store it was trained on.
        n: how many images a side; None = as many as both sides have, at most 512.
        seed: of the samples that are drawn here; away from those of the selection.

    Returns:
        What ``report.json`` holds.

    Raises:
        Refused: too few images, sizes that do not fit, no test patients.
    """
    images, out = Path(images), Path(out)
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder for the report.")
    store = _store(images, store)
    held_out, fakes, about = _sides(images, store, n, seed)
    measure = yardstick(held_out)
    with progress.bar("measuring", len(held_out)) as bar:
        kept: list[Sample] = []
        for one in fakes:
            kept.append(one)
            bar.advance()
    distance = measure.distance([descriptors((image.pixels for image, _ in kept), measure.protocol, "fakes")])
    train = reals(store, "train", held_out.shape, n=MOST_NEIGHBOURS)
    content: dict[str, Any] = {
        "format": 1,
        "images": about,
        "store": {"fingerprint": store.manifest.fingerprint, "patients": store.manifest.patients,
                  "splits": store.manifest.splits, "quarantined": store.manifest.quarantined},
        "compared": {"images_a_side": len(kept), "real_split": "test", "shape": written(held_out.shape)},
        "swd": {"protocol": measure.words, "fake": distance.model_dump(), "real_floor": measure.floor.model_dump()},
        "nearest": _nearest(kept, held_out, train),
        "selection": _json(images / "selection.json"),
    }  # fmt: skip
    kind = modalities.named(store.manifest.modality)()
    first = itertools.islice(zip(held_out, held_out.facts(), strict=True), SHOWN)
    spacing = held_out.spacing()
    shown_reals = [kind.denormalise(Image(pixels, spacing, facts)) for pixels, facts in first]
    with new_folder(out) as folder:
        log = read_lines(images / "log.jsonl") if (images / "log.jsonl").exists() else []
        shown = [(kind.denormalise(image), record) for image, record in kept]
        pictures = figures.draw(folder, kind, shown, shown_reals, train, content, log, SHOWN)
        write_json(folder / "report.json", content)
        report.write(folder / "report.html", content, pictures)
    return content


def _store(images: Path, store: Store | Path | str | None) -> Store:
    if isinstance(store, Store):
        return store
    if store is not None:
        return open_store(Path(store))
    if (images / "store.json").exists():
        return open_store(Path(json.loads((images / "store.json").read_text())["path"]))
    raise Refused("Give the store of real images: ganatomy evaluate SAMPLES STORE --out REPORT")


def _sides(images: Path, store: Store, n: int | None, seed: int) -> tuple[Any, Iterator[Sample], dict[str, Any]]:
    """The real side, the fake side, and what the report says of the fakes. Both sides have the same number."""
    if (images / "samples.jsonl").exists():
        kept = list(read_samples(images)[1])
        record = kept[0][1]
        held_out, kept = _paired(reals(store, "test", kept[0][0].shape), kept, n)
        fakes = iter(kept)
        about = {k: record[k] for k in ("generator", "snapshot_sha256", "kimg", "truncation", "seed")}
    else:
        snapshot = open_snapshot(find_snapshot(images))
        shape = snapshot.scope.reads[0].shape
        held_out = reals(store, "test", shape, n or MOST)
        fakes = sample(snapshot, len(held_out), seed, wishes(snapshot, held_out))
        about = {"generator": snapshot.recipe.name, "snapshot_sha256": snapshot.digest, "seed": seed,
                 "kimg": snapshot.images / 1000, "trained_on": snapshot.trained_on["fingerprint"]}  # fmt: skip
    if len(held_out) < FEWEST:
        raise Refused(f"{len(held_out)} images a side are too few; {FEWEST} are needed at least.")
    return held_out, fakes, about


def _paired(held_out: Reals, fakes: list[Sample], n: int | None) -> tuple[Reals, list[Sample]]:
    """Reals and fakes of the same facts, one by one, as many as there are on both sides."""
    cases: list[dict[str, Any]] = []
    chosen: list[Sample] = []
    left = list(fakes)
    for case in held_out.cases:
        fits = next((i for i, (image, _) in enumerate(left) if image.facts.items() <= case["facts"].items()), None)
        if fits is not None and len(cases) < (n or MOST):
            cases.append(case)
            chosen.append(left.pop(fits))
    return Reals(held_out.store, cases, held_out.shape), chosen


def _nearest(fakes: list[Sample], test: Reals, train: Reals) -> dict[str, Any]:
    """How close fakes come to training images, beside how close test images come to them."""
    drawn = (image.pixels for image, _ in fakes)
    small = [vectors([averaged(pixels) for pixels in images]) for images in (drawn, test, train)]
    fake_pairs, fake_best = nearest(small[0], small[2])
    _, test_best = nearest(small[1], small[2])
    real_pairs, real_best = nearest(small[1], small[0])
    return {
        "measure": f"correlation of images averaged to at most {ROWS[len(train.shape)]} rows,"
                   f" {len(train)} training images",
        "fake_to_train": [round(float(v), 4) for v in fake_best],
        "fake_to_train_index": fake_pairs.tolist(),
        "test_to_train": [round(float(v), 4) for v in test_best],
        "test_to_fake": [round(float(v), 4) for v in real_best],
        "test_to_fake_index": real_pairs.tolist(),
        "medians": {"fake_to_train": round(float(np.median(fake_best)), 4),
                    "test_to_train": round(float(np.median(test_best)), 4)},
        "closer_than_any_test_image": int((fake_best > test_best.max()).sum()),
    }  # fmt: skip


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None
