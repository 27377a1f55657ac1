"""Weights from elsewhere, and weights for others: import, publish, card."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from ganatomy.cli.app import command
from ganatomy.cli.options import DryRun, Lists, Numbers, Pairs, Quiet, Range, Shape, join_lists, join_pairs
from ganatomy.machine import progress


@command(name="import", heard=True)
def import_weights(
    files: Positional[tuple[Path, ...]],
    recipe: str,
    shape: Shape,
    out: Path = Path("runs"),
    modality: str = "chest_ct",
    spacing: Numbers = None,
    value_range: Range = None,
    condition: Lists = (),
    fact: Pairs = (),
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Make a run with a snapshot from published weights; no code in the files is run.

    Args:
        files: files that torch.save wrote, in any order: the generator's, and those of other networks of the model
        recipe: what the weights are of: hagan-2022 (the files of HA-GAN's authors) or pggan-mammogram (a progressive
            GAN of pytorch_GAN_zoo)
        shape: number of pixels or voxels per axis of the images that the weights make
        out: folder in which the run folder is created
        modality: what the images show: mammogram, chest_ct or brain_mri
        spacing: millimetres per axis, such as 1.2,0.8,0.8, or one number for all axes; by default not known
        value_range: the values LOW,HIGH that the darkest and the brightest output stand for, in HU for chest_ct, else
            as a share of white; by default those of the authors' preprocessing
        condition: the classes of a model with classes, in the order of its inputs; may be given several times
        fact: a fact that all training images had, such as view_position=CC; may be given several times
    """
    from ganatomy.importing.import_weights import import_weights as run

    classes = join_lists(condition, "--condition")
    if dry_run:
        names = ", ".join(path.name for path in files)
        return progress.say(f"{names} would be read as {recipe} at {list(shape)} and a run made in {out}.")
    made = run(files, recipe, shape, out, modality, spacing, value_range, classes, join_pairs(fact, "--fact"))
    progress.say(f"{made.path}: one snapshot, {made.list_snapshots()[-1].name} images as the files say")


@command(folder=False, heard=True)
def publish(
    run: Positional[Path],
    out: Path,
    report: Path | None = None,
    unaudited: bool = False,
    with_: Annotated[UseAppendAction[tuple[str, ...]], arg(name="with", metavar="ROLE")] = (),
    licence: str = "not stated",
    data_licence: str = "not stated",
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Write one file with a model's generator, encoders, card and examples; other commands take it like a run.

    Args:
        run: a run or a snapshot folder
        out: the bundle, ending in .zip
        report: folder of an evaluation of this snapshot, whose privacy audit passed
        unaudited: publish without an audit that passed; the card says so
        with_: another network to include, such as discriminator, which remembers more of its training set
        licence: licence of the weights, for the card
        data_licence: licence of the training data, for the card
    """
    from ganatomy.exporting.publish import publish as run_

    if dry_run:
        return progress.say(f"The model of {run} would be written to {out}.")
    if "discriminator" in with_:
        progress.say(
            "A discriminator remembers more of its training set than a generator, and the bundle will hold it."
        )
    made = run_(run, out, report, unaudited, with_, licence, data_licence)
    progress.say(f"{made}: {made.stat().st_size / 1e6:.1f} MB; MODEL_CARD.md in it says what the model is")


@command()
def card(
    run: Positional[Path],
    out: Path = Path("card"),
    report: Path | None = None,
    licence: str = "not stated",
    data_licence: str = "not stated",
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Write the model card of a run, without the model: MODEL_CARD.md and card.json.

    Args:
        run: a run, a snapshot folder or a bundle
        out: output folder; a card in it is replaced
        report: folder of an evaluation of this snapshot, for measures and the privacy audit
        licence: licence of the weights, for the card
        data_licence: licence of the training data, for the card
    """
    from ganatomy.exporting.write_card import CARD_PAGE, write_card

    if dry_run:
        return progress.say(f"The card of {run} would be written to {out}.")
    made = write_card(run, out, report, licence, data_licence)
    left = sum(bool(answer["open"]) for answer in made["checklist"].values())
    progress.say(f"{out / CARD_PAGE}: {left} of {len(made['checklist'])} items of MI-CLAIM-GEN name what is open")
