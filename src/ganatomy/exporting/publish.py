"""The verb `publish`: one file with what others need to use a model, and nothing else.

    bundle.json                  format, version, networks
    snapshot/                    meta.json and the weights by role, as in a run
    MODEL_CARD.md, card.json     intended use, data, licences, measures, audit, limits
    examples.png                 samples of seed 0
    SHA256SUMS                   hashes of all of these

The zip ends with a hash of itself (`machine.sealed_zip`).
"""

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from ganatomy.checkpoint import BUNDLE_FILE, BUNDLE_FORMAT, GENERATOR_ROLE, SNAPSHOT_FOLDER, Snapshot, copy_snapshot
from ganatomy.errors import Refused
from ganatomy.exporting.card import NOT_STATED, Audit, make_card, select_training_facts
from ganatomy.exporting.write_card import open_shareable, read_audit, read_environment, read_report, save_card
from ganatomy.imaging.marking import mark_synthetic
from ganatomy.imaging.pictures import GRID_COLUMNS, make_grid, save_png
from ganatomy.machine.durable import write_json
from ganatomy.machine.sealed_zip import write_sealed_zip
from ganatomy.modalities.table import get_modality
from ganatomy.sampling import sample

SUFFIX = ".zip"
EXAMPLES = 8  # samples of the picture


def publish(
    run: str | PathLike[str],
    out: str | PathLike[str],
    report: str | PathLike[str] | None = None,
    unaudited: bool = False,
    with_: Sequence[str] = (),
    licence: str = NOT_STATED,
    data_licence: str = NOT_STATED,
) -> Path:
    """Write a bundle: the averaged generator and the encoders of a model, with its recipe, card and examples.

    `sample`, `evaluate`, `encode`, `explore` and `train` take a bundle where they take a run.

    Args:
        run: a run or a snapshot.
        out: the bundle, a name that ends in ``.zip``.
        report: folder of an evaluation of this very snapshot, whose audit passed.
        unaudited: publish even without such a report, or with one whose audit failed; the card says so.
        with_: other networks to include, such as ``discriminator``, which remembers more of its training set.
        licence, data_licence: of the weights and of the training data, for the card.

    Returns:
        The bundle.

    Raises:
        Refused: no audit that passed, a report of another model, a network that the model has not, or another suffix.

    Example:
        >>> import ganatomy
        >>> ganatomy.publish("runs/00000-pggan-mammogram", "model.zip", unaudited=True).name
        'model.zip'
        >>> [image.shape for image in ganatomy.open("model.zip").sample(2, seed=7)]
        [(20, 16), (20, 16)]
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise Refused(f"--out {out}: give a name that ends in {SUFFIX}.")
    snapshot = open_shareable(Path(run))
    roles = _choose_roles(snapshot, with_)
    told = None if report is None else read_report(Path(report), snapshot)
    audit = _judge_audit(told, snapshot, unaudited)
    environment = read_environment(snapshot)
    card = make_card(snapshot, roles, audit, told, licence, data_licence, environment)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_snapshot(snapshot, folder / SNAPSHOT_FOLDER, roles, _select_metadata(snapshot))
        about = {"format": BUNDLE_FORMAT, "made_with": f"ganatomy {version('ganatomy')}", "networks": list(roles)}
        write_json(folder / BUNDLE_FILE, about)
        save_card(folder, card)
        _draw_examples(snapshot, folder / "examples.png")
        write_sealed_zip(out, folder)
    return out


def _choose_roles(snapshot: Snapshot, more: Sequence[str]) -> tuple[str, ...]:
    """The generator, the encoders that are there, and what was asked for."""
    if unknown := sorted(set(more) - set(snapshot.weights)):
        raise Refused(f"--with {unknown[0]}: the snapshot has {', '.join(snapshot.weights)}.")
    encoding = snapshot.recipe.encoding_objective
    wanted = {GENERATOR_ROLE, *(encoding.encoder_roles if encoding else ()), *more}
    return tuple(role for role in snapshot.weights if role in wanted)


def _judge_audit(report: Mapping[str, Any] | None, snapshot: Snapshot, unaudited: bool) -> Audit:
    """What the report says of copies.

    Raises:
        Refused: nothing, or that there are some, and it was not said that this is known.
    """
    audit = read_audit(report)
    if audit.passed or unaudited:
        return audit
    if report is None:
        raise Refused(
            f"No privacy audit of {snapshot.path} is given; evaluate it and give --report REPORT, or say --unaudited."
        )
    raise Refused(f"The privacy audit failed: {audit.verdict} Do not publish this model, or say --unaudited.")


def _select_metadata(snapshot: Snapshot) -> dict[str, Any]:
    """What the snapshot in a bundle says besides its weights: named one by one, so that nothing else is handed on."""
    return {
        "images": snapshot.images,
        "seed": snapshot.seed,
        "modality": snapshot.modality,
        "spacing": snapshot.spacing,
        "value_range": snapshot.value_range,
        "trained_on": select_training_facts(snapshot),
        **snapshot.origin,
    }


def _draw_examples(snapshot: Snapshot, file: Path) -> None:
    """The first samples of seed 0 in a grid, marked as synthetic."""
    kind = get_modality(snapshot.modality)()
    drawn = list(sample(snapshot, EXAMPLES))
    shown = [kind.render_image(kind.denormalise(image)) for image, _ in drawn]
    mark = mark_synthetic([record for _, record in drawn])
    save_png(make_grid(shown, GRID_COLUMNS[len(snapshot.recipe.shape)]), file, mark)
