"""The verb `card`: the model card of a run or snapshot as two files, without the model itself."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ganatomy.checkpoint import Snapshot, find_snapshot, open_snapshot
from ganatomy.errors import Refused
from ganatomy.exporting.card import NO_AUDIT, NOT_STATED, Audit, make_card, render_card
from ganatomy.machine.durable import read_json, write_json, write_text

REPORT_FILE = "report.json"
CARD_FILE, CARD_PAGE = "card.json", "MODEL_CARD.md"
ENVIRONMENT = ("system", "python", "packages", "threads", "processes", "device")  # what of environment.json is told


def write_card(
    run: str | PathLike[str],
    out: str | PathLike[str] = "card",
    report: str | PathLike[str] | None = None,
    licence: str = NOT_STATED,
    data_licence: str = NOT_STATED,
) -> dict[str, Any]:
    """Write ``MODEL_CARD.md`` and ``card.json`` of a model: what is known of it, and what is open.

    Args:
        run: a run, a snapshot or a bundle.
        out: a folder; its card is replaced.
        report: folder of an evaluation of this very snapshot, for measures and audit.
        licence, data_licence: licences of the weights and of the training data, for the card.

    Returns:
        The content of ``card.json``.

    Raises:
        Refused: no model, or a report of another one.

    Example:
        >>> import ganatomy
        >>> card = ganatomy.write_card("runs/00000-pggan-mammogram", "card", data_licence="CC0")
        >>> card["licence"]["training_data"], card["checklist"]["output"]["found"]
        ('CC0', ['unstructured: images'])
    """
    card = describe_model(Path(run), None if report is None else Path(report), licence, data_licence)
    save_card(Path(out), card)
    return card


def describe_model(
    path: Path, report: Path | None = None, licence: str = NOT_STATED, data_licence: str = NOT_STATED
) -> dict[str, Any]:
    """Make the card of a model; the arguments and errors are those of `write_card`."""
    snapshot = open_shareable(path)
    told = None if report is None else read_report(report, snapshot)
    environment = read_environment(snapshot)
    return make_card(snapshot, tuple(snapshot.weights), read_audit(told), told, licence, data_licence, environment)


def save_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write a card as JSON and as a page."""
    write_json(folder / CARD_FILE, card)
    write_text(folder / CARD_PAGE, render_card(card))


def open_shareable(path: Path) -> Snapshot:
    """A model with all its networks, and with ranges of its numbers that are not the values of single persons."""
    snapshot = open_snapshot(find_snapshot(path), roles=None)
    numbers = {name: scale.hide_persons() for name, scale in snapshot.recipe.numbers.items()}
    return replace(snapshot, recipe=snapshot.recipe.replace(numbers=numbers)) if numbers else snapshot


def read_report(folder: Path, snapshot: Snapshot) -> dict[str, Any]:
    """The report of an evaluation of this snapshot.

    Raises:
        Refused: it is none, or of another snapshot.
    """
    told = read_json(folder / REPORT_FILE)
    if told.get("images", {}).get("snapshot_sha256") != snapshot.digest or "privacy" not in told:
        raise Refused(f"{folder} is no report of the snapshot {snapshot.path}; evaluate that one: ganatomy evaluate.")
    return told


def read_audit(report: Mapping[str, Any] | None) -> Audit:
    """What a report says of copies."""
    if report is None:
        return NO_AUDIT
    told = report["privacy"]
    return Audit(told["passed"], told["verdict"], tuple(told["power"]))


def read_environment(snapshot: Snapshot) -> dict[str, Any] | None:
    """On what the training of a snapshot was computed, as its run or its bundle tells; None where neither is there."""
    if not isinstance(snapshot.path, Path):
        known: dict[str, Any] | None = read_json(zipfile.Path(snapshot.path.root) / CARD_FILE).get("computed_on")
        return known
    file = snapshot.path.parent.parent / "environment.json"
    if not file.exists():
        return None
    told = read_json(file)
    return {name: told[name] for name in ENVIRONMENT if told.get(name) is not None}
