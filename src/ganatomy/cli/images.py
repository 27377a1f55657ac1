"""The commands that use a snapshot: sample, encode, evaluate."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional

from ganatomy.cli.app import Given, answer, command
from ganatomy.cli.options import (
    Count,
    DryRun,
    Json,
    OptionalAmount,
    OptionalCount,
    OptionalShape,
    Pairs,
    Quiet,
    Seed,
    join_pairs,
    join_paths,
)
from ganatomy.machine import progress
from ganatomy.machine.choices import Precision


@command()
def sample(
    run: Positional[Path | None] = None,
    out: Path = Path("samples"),
    n: Count = 16,
    seed: Seed = 0,
    condition: Pairs = (),
    truncation: OptionalAmount = None,
    to: str | None = None,
    spacing: OptionalAmount = None,
    date: str | None = None,
    batch_size: Count = 8,
    planes: int | None = None,
    precision: Precision = "float32",
    device: str | None = None,
    reject_worst: str | None = None,
    reject_above: OptionalAmount = None,
    store: Path | None = None,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Draw images from a snapshot or from the selected snapshot of a run.

    Args:
        run: a run, a snapshot folder or a bundle; by default the example model, trained on phantoms only
        out: output folder, new or empty
        n: number of images
        seed: seed of the latent codes; image i of a seed is always the same
        condition: a fact that all images are to have, such as view_position=MLO, age=63.5 or age=50..70; may be given
            several times
        truncation: draw each latent number from a normal distribution truncated at this absolute value
        to: png (16 bit), nifti, npy or dicom; by default png for mammograms and nifti for volumes
        spacing: pixel spacing in mm, if the training images had none
        date: date of the DICOM study as YYYYMMDD; by default today
        batch_size: images per forward pass on a GPU
        planes: number of planes of a volume to generate at a time, which bounds memory; by default all
        precision: float32, tf32 (NVIDIA), bfloat16 or float16; files tell it, and verify computes in it again
        device: cpu or cuda
        reject_worst: discard this share of samples with the most artefacts, such as 5%, and draw others instead
        reject_above: discard samples whose score for artefacts is above this, such as 1, and draw others instead
        store: the training set, for --reject-worst and --reject-above; for a run, by default its own store
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.library.example import get_example_model
    from ganatomy.library.sample import SCORING_ROLES
    from ganatomy.library.sample import sample as draw

    wanted = join_pairs(condition, "--condition")
    snapshot = open_snapshot(find_snapshot(run or get_example_model()), SCORING_ROLES)
    how: dict[str, Any] = {
        "planes": planes,
        "precision": precision,
        "reject_worst": reject_worst,
        "reject_above": reject_above,
        "store": store,
    }
    given = (snapshot, n, seed, wanted, truncation, batch_size, device)
    if dry_run:
        draw(*given, **how)  # refuses what cannot be drawn
        return progress.say(
            f"{n} images of {snapshot.path} would be written to {out} as {to or 'files of the usual format'}."
        )
    made = draw(*given, out=out, to=to, spacing=spacing, date=date, **how)
    progress.say(f"{len(made)} synthetic images of {snapshot.path} in {out}")
    if json:
        answer({"folder": out, "images": len(made), "snapshot": snapshot.path, "snapshot_sha256": snapshot.digest})


@command(folder=False)
def encode(
    run: Positional[Path],
    store: Positional[Path],
    out: Path = Path("features.csv"),
    split: str | None = None,
    n: OptionalCount = None,
    to: str | None = None,
    device: str | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Encode the images of a store: a table of features with one row per case, and a figure of the reconstructions.

    Args:
        run: a run or a snapshot of a model with an encoder, such as hagan-2022, hagan-encoder or vae-gan
        store: folder of the images, made by prepare
        out: output file, ending in .csv, or in .parquet with the extra parquet
        split: train, validation or test; by default all
        n: maximum number of cases
        to: nifti for volumes or png for pictures, to write the reconstructions as well
        device: cpu or cuda
    """
    from ganatomy.checkpoint import find_snapshot, open_snapshot
    from ganatomy.data.store import open_store
    from ganatomy.encoding import encode as run_

    snapshot, opened = open_snapshot(find_snapshot(run), roles=None), open_store(store)
    if dry_run:
        return progress.say(f"Features of {opened.path} by {snapshot.path} would be written to {out}.")
    rows = run_(snapshot, opened, out, split, n, device, to)
    left = len(opened.cases) - rows
    others = f" ({left} of the store are of other splits or beyond --n)" if left else ""
    progress.say(f"{rows} cases in {out}{others}; originals beside their reconstructions in {out.with_suffix('.png')}")


def _find_place(given: Given) -> Path | None:
    """Return the output of `evaluate`: a report or a reader study; None if a study is served or analysed."""
    shown = given["answers"] is not None or given["serve"] is not None
    return None if shown else given["reader_study"] or given["out"]


@command(place=_find_place, heard=True)
def evaluate(
    images: Positional[Path],
    store: Positional[Path | None] = None,
    out: Path = Path("report"),
    n: OptionalCount = None,
    extractor: str = "random",
    weights: Path | None = None,
    protocol: str | None = None,
    held_out: Path | None = None,
    facts: Path | None = None,
    column: Pairs = (),
    fact: Pairs = (),
    shape: OptionalShape = None,
    beside: Pairs = (),
    device: str | None = None,
    reader_study: Path | None = None,
    answers: Path | None = None,
    serve: int | None = None,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Compare synthetic images with patients that were not used in training; write report.json and report.html.

    Args:
        images: a run or snapshot, a folder of samples, or a folder of DICOM, NIfTI, PNG or NPY files of any origin
        store: the real images that the model was trained on; for a run, by default its own store
        out: output folder, new or empty
        n: maximum number of images on each side
        extractor: feature extractor: random (needs no weights), handcrafted, med3d-10, -18, -34, -50, inception-2015,
            dinov2-s, -b, -l
        weights: file of a pretrained extractor; nothing is downloaded
        protocol: also compute a published definition: hagan-2022 or pggan-swd-16384
        held_out: a store of other patients to compare with; by default the test patients of the store
        facts: CSV with a column "file" and the facts that files of other origin do not carry
        column: column of that CSV that holds a fact, such as laterality=side; may be given several times
        fact: a fact shared by all files of other origin, such as view_position=CC; may be given several times
        beside: images of another model, NAME=FOLDER, for the figure of features; may be given several times
        device: cpu or cuda; by default a GPU if there is one
        reader_study: instead of a report, write a blinded set of real and synthetic images with a rating page here
        answers: folder of the readers' answers (JSON) to a reader study; IMAGES is then the folder of the study
        serve: serve the rating page on this port of this machine; IMAGES is then the folder of the study; needs the
            extra studio
    """
    if answers is not None or serve is not None:
        return _run_reader_study(images, answers, serve, dry_run)
    from ganatomy.modalities.facts import FactSource

    told = FactSource(facts, join_pairs(column, "--column"), join_pairs(fact, "--fact"))
    if dry_run:
        return progress.say(f"{images} would be compared with {store or 'its store'} and a report written to {out}.")
    if reader_study is not None:
        from ganatomy.machine.device import usual_device
        from ganatomy.studies.reader_study import make_study

        with usual_device(device):
            shown = make_study(images, reader_study, store, n, facts=told, shape=shape, held_out=held_out)
        return progress.say(
            f"{shown} images in {reader_study}; open page.html there, or: ganatomy evaluate {reader_study} --serve 8000"
        )
    from ganatomy.evaluation.evaluate import evaluate as run
    from ganatomy.evaluation.metrics.table import is_headline

    others = join_paths(beside, "--beside")
    content = run(
        images,
        store,
        out,
        n,
        extractor=extractor,
        weights=weights,
        protocol=protocol,
        held_out=held_out,
        facts=told,
        shape=shape,
        beside=others,
        device=device,
    )
    for line in content["warnings"]:
        progress.say(line)
    for one in content["verdicts"]:
        progress.say(f"{one['question']}: {one['answer']}. {one['reason']}")
    swd = content["swd"]
    progress.say(
        f"SWD x 1000: {swd['fake']['average']:g}, real floor {swd['real_floor']['average']:g} ({swd['protocol']})"
    )
    for row in content["scores"]:
        if is_headline(row["metric"]):
            floor = "" if row["floor"] is None else f", real floor {row['floor']:.4g}"
            progress.say(f"{row['metric']} ({row['extractor']}): {row['value']:.4g}{floor}")
    progress.say(f"report: {out / 'report.html'}")
    if json:
        answer({"report": out, **content})


def _run_reader_study(folder: Path, answers: Path | None, serve: int | None, dry_run: bool) -> None:
    from ganatomy.studies import reader_study

    if dry_run:
        return progress.say(f"The reader study in {folder} would be {'read back' if answers else 'shown'}.")
    if answers is not None:
        return progress.say(reader_study.describe_readers(reader_study.read_answers(folder, answers)))
    from ganatomy.cli.studio import import_studio

    return import_studio().serve_study(folder, serve or 0)
