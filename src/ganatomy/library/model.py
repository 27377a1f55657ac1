"""A model that was opened: a run, a snapshot or a bundle with the questions that a program asks of it."""

import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ganatomy.checkpoint import Snapshot, find_snapshot, open_snapshot
from ganatomy.data.store import Store
from ganatomy.directions import MovedSamples
from ganatomy.encoding import encode
from ganatomy.errors import Refused
from ganatomy.exporting.write_card import CARD_FILE, describe_model
from ganatomy.library.arguments import FactValue, join_conditions
from ganatomy.library.images import Images, SyntheticImage, describe_images
from ganatomy.library.plan import ask_memory
from ganatomy.library.sample import sample
from ganatomy.machine.choices import Precision
from ganatomy.machine.device import select_device
from ganatomy.machine.durable import read_json
from ganatomy.recipes.recipe import Recipe
from ganatomy.sampling import list_facts
from ganatomy.training.run import Run, open_run

RECIPE_FILE = "recipe.json"  # of a run


class Model:
    """A trained generator with its recipe and origin. It is opened once and reads its weights when they are needed.

    It can be pickled: the copy opens the same file, and refuses to if the weights are others by then.

    Args:
        path: a run, a snapshot or a bundle. Of a run, the snapshot that is in use now: the selected one, or the newest.

    Raises:
        Refused: there is no snapshot, or it is damaged.

    Example:
        >>> import ganatomy
        >>> model = ganatomy.open("runs/00000-pggan-mammogram")
        >>> model.shape, model.conditions
        ((20, 16), {'view_position': ('CC', 'MLO'), 'laterality': ('R', 'L')})
        >>> image = model.sample(2, seed=0, view_position="MLO")[1]
        >>> image.pixels.shape, image.facts["view_position"], image.seed, image.number
        ((20, 16), 'MLO', 0, 1)
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        given = Path(path).absolute()
        folder = find_snapshot(given)
        self.path = given if given.is_file() else Path(str(folder))  # a run may get a better snapshot meanwhile
        self.run = Run(given) if (given / RECIPE_FILE).is_file() else None
        self.snapshot: Snapshot = open_snapshot(folder)

    def __fspath__(self) -> str:
        return fspath(self.path)

    def __repr__(self) -> str:
        return f"<model {self.recipe.name}, {' x '.join(map(str, self.shape))}, {self.modality}, {self.digest[:16]}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self.path, self.digest)

    # ------------------------------------------------------------------------------------------------------------------
    # What it is.

    @property
    def recipe(self) -> Recipe:
        """The recipe that it was trained with."""
        return self.snapshot.recipe

    @property
    def modality(self) -> str:
        """The name of the modality of its images."""
        return self.snapshot.modality

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels or voxels per axis of its images; an early snapshot of progressive growing makes smaller ones."""
        return self.snapshot.scope.regions[0].shape

    @property
    def digest(self) -> str:
        """SHA-256 of the generator's weights, which every image names."""
        return self.snapshot.digest

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """The facts that images may be asked to have, each with its values; a number has its range, such as 40..80."""
        space = list_facts(self.snapshot)
        ranges = {name: (f"{scale.low:g}..{scale.high:g}",) for name, scale in space.numbers.items()}
        return {**{name: tuple(values) for name, values in space.facts.items()}, **ranges}

    @cached_property
    def card(self) -> dict[str, Any]:
        """The model card: intended use, training data, measures, audit, limits.

        A bundle has the card that it was published with. That of a run or a snapshot says that no audit was made.
        """
        if self.path.is_file():
            return read_json(zipfile.Path(self.path) / CARD_FILE)
        return describe_model(self.path)

    @cached_property
    def _whole(self) -> Snapshot:
        """The snapshot with all its networks."""
        return open_snapshot(self.snapshot.path, roles=None)

    # ------------------------------------------------------------------------------------------------------------------
    # What it does.

    def sample(
        self,
        n: int = 16,
        seed: int = 0,
        *,
        condition: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
        truncation: float | None = None,
        batch_size: int = 8,
        device: str | None = None,
        first: int = 0,
        planes: int | None = None,
        precision: Precision = "float32",
        reject_worst: float | str | None = None,
        reject_above: float | None = None,
        store: Store | str | PathLike[str] | None = None,
        **facts: FactValue,
    ) -> Images:
        """Draw images into memory: the same bits as ``ganatomy sample`` writes with the same seed.

        Args:
            n, seed, condition, truncation, batch_size, device, first, planes, precision: as in `ganatomy.sample`.
            reject_worst, reject_above, store: likewise.
            facts: facts that all images are to have, such as ``view_position="MLO"``, ``age=63.5`` or ``age=(50, 70)``.

        Raises:
            Refused: the model has no such fact or value, or an argument is out of its range.
        """
        self.snapshot.keep_network("generator", select_device(device))
        wanted = join_conditions(condition, facts)
        return Images(
            image
            for image, _ in sample(
                self.snapshot,
                n,
                seed,
                wanted,
                truncation,
                batch_size,
                device,
                first,
                planes,
                precision,
                reject_worst=reject_worst,
                reject_above=reject_above,
                store=store,
            )
        )

    def regenerate(self, record: Mapping[str, Any], device: str | None = None) -> SyntheticImage:
        """Make the image of a record of this model again, such as `SyntheticImage.provenance`.

        Raises:
            Refused: the record is of another model.
        """
        image = MovedSamples(self.snapshot, device).regenerate(record)
        return next(describe_images([(image, dict(record))], self.modality))

    def encode(
        self,
        store: Store | str | PathLike[str],
        out: str | PathLike[str] = "features.csv",
        split: str | None = None,
        n: int | None = None,
        to: str | None = None,
        device: str | None = None,
    ) -> int:
        """Write the latent codes of the images of a store as a table; see `ganatomy.encode`.

        Raises:
            Refused: the model has no encoder, or the store does not fit it.
        """
        return encode(self._whole, store, out, split, n, device, to)

    def plan(self, memory: int | str | None = None, device: str | None = None) -> str:
        """Predict whether training and sampling fit into memory, as text; nothing is allocated.

        Args:
            memory: bytes, or a size such as ``16GB`` or ``24GiB``; None = what is free on the device.
            device: ``cpu`` or ``cuda``; with `memory` the default is ``cuda``, even on a machine without a GPU.

        Raises:
            Refused: the size cannot be read, or there is no such device.
        """
        return ask_memory(self.recipe, memory, device).describe()


def _open_again(path: Path, digest: str) -> Model:
    """The model that was pickled.

    Raises:
        Refused: its file has gone, or holds other weights.
    """
    model = Model(path)
    if model.digest != digest:
        raise Refused(f"{path} holds other weights than when the model was opened; open it again.")
    return model


def open_run_model(path: Path) -> Model:
    """The model of a run.

    Raises:
        Refused: the run has no snapshot yet, or the path is a folder of runs, which the message lists.
    """
    if not open_run(path).list_snapshots():
        raise Refused(f"{path} is a run without a snapshot; go on training it: the same command continues.")
    return Model(path)
