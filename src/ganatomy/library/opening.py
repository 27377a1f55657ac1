"""The verb `open`: a path becomes what it is, as the kinds of this table recognise it."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ganatomy.checkpoint import META_FILE
from ganatomy.data.samples import INDEX_FILE
from ganatomy.data.store import MANIFEST_FILE, PLAN_FILE, open_store
from ganatomy.errors import Refused
from ganatomy.exporting.write_card import REPORT_FILE
from ganatomy.library.model import RECIPE_FILE, Model, open_run_model
from ganatomy.library.report import Report
from ganatomy.library.samples import Samples


@dataclass(frozen=True)
class Kind:
    """A kind of what this package writes.

    Args:
        name: with its article, for messages.
        made_by: the command that makes it.
        recognises: whether a path is one, perhaps a damaged one; reads no more than the names of files.
        open: opens it; refuses one that is damaged.
    """

    name: str
    made_by: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path], Any]


def _holds(*names: str) -> Callable[[Path], bool]:
    return lambda path: any((path / name).is_file() for name in names)


def _is_run(path: Path) -> bool:
    """A run, or a folder of runs, which `open_run_model` lists in its refusal."""
    return (path / RECIPE_FILE).is_file() or any(path.glob(f"[0-9]*-*/{RECIPE_FILE}"))


def _is_bundle(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".zip" or zipfile.is_zipfile(path))


KINDS = (
    Kind("a store", "prepare", _holds(MANIFEST_FILE, PLAN_FILE), open_store),
    Kind("a run", "train", _is_run, open_run_model),
    Kind("a snapshot", "train", _holds(META_FILE), Model),
    Kind("a bundle", "publish", _is_bundle, Model),
    Kind("a folder of samples", "sample", _holds(INDEX_FILE), Samples),
    Kind("a report", "evaluate", _holds(REPORT_FILE), Report),
)


def open(path: str | PathLike[str]) -> Any:
    """Open what this package has written: a store, a run, a snapshot, a bundle, a folder of samples or a report.

    Args:
        path: of any of them.

    Returns:
        A `Store`; a `Model` of a run, a snapshot or a bundle; `Samples`; or a `Report`. Where a type checker is to know
        which, ``model: ganatomy.Model = ganatomy.open(path)`` says so.

    Raises:
        Refused: there is nothing, something else, or something damaged.

    Example:
        >>> import ganatomy
        >>> model = ganatomy.open("runs/00000-pggan-mammogram")
        >>> images = model.sample(4, seed=0, view_position="MLO")
        >>> images.pixels.shape, images[3].number, images[3].spacing == model.snapshot.spacing
        ((4, 20, 16), 3, True)
        >>> len(ganatomy.open("store").cases)
        40
    """
    given = Path(path)
    return find_kind(given).open(given)


def find_kind(given: Path) -> Kind:
    """Find what a path is.

    Raises:
        Refused: there is nothing, or something else.
    """
    kind = next((kind for kind in KINDS if kind.recognises(given)), None)
    if kind is None:
        known = ", ".join(f"{kind.name} ({kind.made_by})" for kind in KINDS)
        found = "does not exist" if not given.exists() else "is none of what ganatomy.open accepts"
        raise Refused(f"{given} {found}; give the path of {known}.")
    return kind
