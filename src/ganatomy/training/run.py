"""The run folder: its content, and the search for the run to continue.

00003-pggan-mammogram/
  recipe.json environment.json store.json      recipe; versions, device and settings; store
  log.jsonl                                    one line per tick with all loss terms
  reals.png fakes/<images>.png                 grids; those of fakes always have the same latent codes
  snapshots/<images>/                          weights to use
  checkpoints/<images>/                        state to resume the training; the last two are kept
  tensorboard/, mlflow/, wandb/                of the trackers; by default TensorBoard's if it is installed
"""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ganatomy import checkpoint
from ganatomy.checkpoint import DamagedError
from ganatomy.config import explain_validation_error
from ganatomy.data.numbers import list_number_facts
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.durable import read_json, remove_folder, write_json
from ganatomy.machine.places import describe_system_error, hold_lock, remove_leftovers
from ganatomy.recipes.recipe import Recipe

STORE_FILE = "store.json"
KEPT_CHECKPOINTS = 2
PATH_WORD = "PATH"  # stands for a path among the arguments of a command
LOCK_PATIENCE = 10.0  # seconds to wait for another command that makes its run folder, which takes less than one second


@dataclass(frozen=True)
class GivenWeights:
    """Weights that were given to a training.

    Args:
        generator: SHA-256 of the trained generator from which the networks learn.
        began_from: `Snapshot.describe_ancestry` of the model with whose weights the training began.
    """

    generator: str | None = None
    began_from: dict[str, Any] | None = None

    def list_differences(self, other: "GivenWeights") -> list[str]:
        """List, in words, which of the given weights differ."""
        mine, theirs = ((one.began_from or {}).get("snapshot_sha256") for one in (self, other))
        found = {"generator": self.generator != other.generator, "beginning (--from)": mine != theirs}
        return [words for words, differs in found.items() if differs]


NO_WEIGHTS_GIVEN = GivenWeights()


class Run:
    """A run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @property
    def recipe(self) -> Recipe:
        try:
            return Recipe.model_validate(read_json(self.path / "recipe.json"))
        except ValidationError as error:
            why = explain_validation_error(error, Recipe)
            raise Refused(
                f"{self.path / 'recipe.json'} is not a recipe of this version of ganatomy: {why}. Use the version that"
                " environment.json beside it names, or start the run anew."
            ) from error

    @property
    def has_store(self) -> bool:
        """Whether the run was trained on a store; a run of imported weights has none."""
        return (self.path / STORE_FILE).exists()

    @property
    def store(self) -> dict[str, Any]:
        """Read the description of the store on which the run was trained.

        Raises:
            Refused: the run has imported weights.
        """
        if not self.has_store:
            raise Refused(
                f"{self.path} contains imported weights and has no store; to train from them, give: ganatomy train ..."
                f" --from {self.path}"
            )
        return read_json(self.path / STORE_FILE)

    @property
    def given(self) -> "GivenWeights":
        """The weights that were given to the run."""
        told = read_json(self.path / "environment.json")
        return GivenWeights(told.get("generator"), told.get("began_from"))

    @property
    def computing(self) -> dict[str, Any] | None:
        """The compute settings with which the run was begun."""
        found = read_json(self.path / "environment.json").get("computing")
        return None if found is None else dict(found)

    def record_settings(self, settings: dict[str, Any], processes: int, device: dict[str, Any]) -> None:
        """Write the compute settings and the device (`device.describe_device`) to ``environment.json``."""
        file = self.path / "environment.json"
        now = {"computing": settings, "processes": processes, "device": device, "gpu": device["gpu"]}
        write_json(file, {**read_json(file), **now})

    @property
    def seed(self) -> int:
        return int(read_json(self.path / "environment.json")["seed"])

    def list_snapshots(self) -> list[Path]:
        """Folders of snapshots, oldest first."""
        return checkpoint.list_numbered_folders(self.path / "snapshots")

    def list_checkpoints(self) -> list[Path]:
        """Folders of checkpoints, oldest first."""
        return checkpoint.list_numbered_folders(self.path / "checkpoints")

    def remove_old_checkpoints(self) -> None:
        """Remove all checkpoints but the last two."""
        for old in self.list_checkpoints()[:-KEPT_CHECKPOINTS]:
            remove_folder(old)

    def load_newest_checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Load tensors and meta data of the newest intact checkpoint; None if there is no checkpoint yet.

        A damaged checkpoint is reported and set aside, so that it is made again, and the previous one is used.

        Raises:
            Refused: there are checkpoints, but all are damaged.
        """
        found = self.list_checkpoints()
        damaged: list[Path] = []
        for folder in reversed(found):
            try:
                loaded = checkpoint.load_tensors(folder)
            except DamagedError as damage:
                progress.say(f"Checkpoint {folder.name} is damaged ({damage}); the previous one is used.")
                damaged.append(folder)
                continue
            for bad in damaged:
                shutil.rmtree(bad.with_name(f"damaged-{bad.name}"), ignore_errors=True)
                bad.rename(bad.with_name(f"damaged-{bad.name}"))
            return loaded
        if found:
            raise Refused(f"All checkpoints of {self.path} are damaged; start anew in another --out folder.")
        return None


def open_run(path: Path) -> Run:
    """Open an existing run folder.

    Raises:
        Refused: it is not a run folder; if it contains runs, the message lists them.
    """
    if (path / "recipe.json").exists():
        return Run(path)
    inside = ", ".join(run.name for run in _runs(path)) if path.is_dir() else ""
    raise Refused(f"{path} is not a run folder" + (f"; it contains the runs {inside}: give one." if inside else "."))


def make_or_continue_run(
    out: Path, recipe: Recipe, store: Store, seed: int, given: GivenWeights = NO_WEIGHTS_GIVEN
) -> Run:
    """Continue the run of this recipe, store and seed in `out`, or make a new one.

    `out` is a folder of runs, or a run folder, which then must be this run. A longer `total_kimg` continues a run.

    Raises:
        Refused: `out` is a run of another recipe, store or seed.
    """
    run = find_run(out, recipe, store, seed, given)
    if run is not None:
        return _prepare_run(run, recipe)
    run = number_new_run(out, recipe)
    run.path.mkdir(parents=True, exist_ok=True)  # a command that is killed here leaves a folder without recipe.json
    write_json(run.path / "environment.json", {**describe_environment(seed), **asdict(given)})
    write_json(run.path / STORE_FILE, describe_store(store) | {"path": str(store.path.resolve())})
    return _prepare_run(run, recipe)  # writes recipe.json last; a folder without it is not a run


@contextmanager
def hold_run(
    out: Path, recipe: Recipe, store: Store, seed: int, given: GivenWeights = NO_WEIGHTS_GIVEN
) -> Iterator[Run]:
    """Reserve the run of `make_or_continue_run` for this process; the end of the process releases it in any case.

    Raises:
        Refused: as in `make_or_continue_run`, or another command is training this run.
    """
    out.mkdir(parents=True, exist_ok=True)
    asked = (out, recipe, store, seed, given)
    with ExitStack() as held:
        with hold_folder(out):
            path = (find_run(*asked) or number_new_run(out, recipe)).path
            refusal = f"{path} is being trained by another command; wait until it has ended, or give another --seed."
            held.enter_context(hold_lock(path.with_name(f".{path.name}.lock"), refusal))
            run = make_or_continue_run(*asked)
        yield run


@contextmanager
def hold_folder(out: Path) -> Iterator[None]:
    """Lock a folder of runs while this command searches or makes a run in it.

    Raises:
        Refused: another command holds the lock for longer than `LOCK_PATIENCE`.
    """
    busy = f"Another command is making a run in {out} and does not finish; give another --out."
    with hold_lock(out / ".lock", busy, LOCK_PATIENCE):
        yield


def number_new_run(out: Path, recipe: Recipe) -> Run:
    """Return the run that would be made next in a folder, without writing anything."""
    number = max((int(run.name[:5]) for run in _runs(out)), default=-1) + 1
    return Run(out / f"{number:05d}-{recipe.name}")


def find_run(out: Path, recipe: Recipe, store: Store, seed: int, given: GivenWeights = NO_WEIGHTS_GIVEN) -> Run | None:
    """Find the run that `make_or_continue_run` would continue; None if it would make a new one.

    Raises:
        Refused: `out` is a run of another recipe, store or seed.
    """
    if (out / "recipe.json").exists():
        if differences := _differences(out, recipe, store, seed, given):
            raise Refused(
                f"{out} is a run of another {', '.join(differences)}. To start a new run, give the folder that contains"
                " the runs; to continue this run, give its recipe, store and seed."
            )
        return Run(out)
    fitting = (path for path in reversed(_runs(out)) if _fits(path, recipe, store, seed, given))
    return next((Run(path) for path in fitting), None)


def _prepare_run(run: Run, recipe: Recipe) -> Run:
    write_json(run.path / "recipe.json", recipe.model_dump(mode="json"))
    remove_leftovers(run.path)
    for name in ("snapshots", "checkpoints", "fakes"):
        (run.path / name).mkdir(exist_ok=True)
        remove_leftovers(run.path / name)
    run.remove_old_checkpoints()  # a process may have been killed after saving a checkpoint and before removing one
    return run


def describe_environment(seed: int) -> dict[str, Any]:
    """Describe the environment of a run, for repeating it, without the user and the name of the machine."""
    packages = ("ganatomy", "torch", "numpy", "zarr", "pydicom", "safetensors")
    return {
        "seed": seed,
        "arguments": [_hide_path(word) for word in sys.argv[1:]],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in packages},
        "threads": torch.get_num_threads(),
    }


def _hide_path(word: str) -> str:
    """An argument of a command, without the path that it is or ends with: names of folders may be names of persons."""
    flag, is_value, value = word.rpartition("=")
    return f"{flag}{is_value}{PATH_WORD}" if os.sep in value or os.path.lexists(value) else word


def describe_store(store: Store) -> dict[str, Any]:
    """Describe the store for a run and its snapshots: hash and counts, without persons and folders."""
    manifest = store.manifest
    numbers = list_number_facts(manifest.facts)
    return {
        "fingerprint": manifest.fingerprint,
        "modality": manifest.modality,
        "cases": manifest.cases,
        "patients": manifest.patients,
        "splits": manifest.splits,
        "facts": {name: counts for name, counts in manifest.facts.items() if name not in numbers},
        "numbers": sorted(numbers),  # without values, since a value may occur in one person only
    }


def _differences(path: Path, recipe: Recipe, store: Store, seed: int, given: GivenWeights) -> list[str]:
    run, different = Run(path), []
    if not run.has_store:
        return ["origin (its weights were imported)"]
    if not recipe.can_continue(run.recipe):
        mine, theirs = recipe.model_dump(mode="json"), run.recipe.model_dump(mode="json")
        fields = [name for name in mine if mine[name] != theirs[name] and name != "total_kimg"]
        different.append(f"recipe ({theirs['name']}: differs in {', '.join(fields)})")
    if run.store["fingerprint"] != store.manifest.fingerprint:
        different.append("store")
    if run.seed != seed:
        different.append(f"seed ({run.seed})")
    return different + given.list_differences(run.given)


def _fits(path: Path, recipe: Recipe, store: Store, seed: int, given: GivenWeights) -> bool:
    """Whether a run is that of this recipe, store and seed; a run that cannot be read is not."""
    try:
        return not _differences(path, recipe, store, seed, given)
    except (Refused, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        _report_unreadable(path, str(error) if isinstance(error, Refused) else f"{type(error).__name__} {error}")
        return False


@lru_cache(maxsize=256)  # reported once per run, which is searched before and after the memory is planned
def _report_unreadable(path: Path, why: str) -> None:
    progress.say(f"The run {path.name} in the same folder cannot be read and is ignored. {why}")


def _runs(out: Path) -> list[Path]:
    found = out.iterdir() if out.is_dir() else iter(())
    return sorted(p for p in found if re.match(r"\d{5}-", p.name) and _has_recipe(p))


def _has_recipe(path: Path) -> bool:
    try:
        return (path / "recipe.json").exists()
    except OSError as error:
        _report_unreadable(path, describe_system_error(error))
        return False
