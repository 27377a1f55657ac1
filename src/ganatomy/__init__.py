"""Synthetic mammograms, CT and MRI by published generative models, with quality measures and their intervals.

The verbs, in the order of the line; ``ganatomy --help`` has the same words. `ganatomy.open` opens what they write.

>>> import ganatomy
>>> ganatomy.RECIPES["pggan-mammogram"]().shape
(1280, 1024)
"""

import os
from typing import TYPE_CHECKING, Any

# OpenMP reads it when torch loads. Threads that spin while they wait make a training ten times slower where something
# else uses a core (docs/performance.md, benchmarks/waiting_threads.py).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from ganatomy.checkpoint import Snapshot
    from ganatomy.data.prepare import prepare
    from ganatomy.data.store import Store
    from ganatomy.datasets.mixed_dataset import MixedDataset
    from ganatomy.datasets.store_dataset import StoreDataset
    from ganatomy.datasets.synthetic_dataset import SyntheticDataset
    from ganatomy.encoding import encode
    from ganatomy.errors import Refused
    from ganatomy.evaluation.evaluate import evaluate
    from ganatomy.exporting.croissant import write_croissant
    from ganatomy.exporting.export import export
    from ganatomy.exporting.publish import publish
    from ganatomy.exporting.send import send
    from ganatomy.exporting.verify import verify
    from ganatomy.exporting.write_card import write_card
    from ganatomy.imaging.image import Image
    from ganatomy.importing.import_weights import import_weights
    from ganatomy.library.example import get_example_model
    from ganatomy.library.images import Images, SyntheticImage
    from ganatomy.library.model import Model
    from ganatomy.library.opening import open
    from ganatomy.library.report import Report
    from ganatomy.library.sample import sample
    from ganatomy.library.samples import Samples
    from ganatomy.library.train import train
    from ganatomy.recipes import RECIPES
    from ganatomy.recipes.recipe import Recipe
    from ganatomy.selection import select
    from ganatomy.training.run import Run
    from ganatomy.training.tracking.tracker import Tracker

    __version__: str

_WHERE = {
    "prepare": "data.prepare",
    "train": "library.train",
    "import_weights": "importing.import_weights",
    "select": "selection",
    "get_example_model": "library.example",
    "open": "library.opening",
    "sample": "library.sample",
    "encode": "encoding",
    "evaluate": "evaluation.evaluate",
    "export": "exporting.export",
    "publish": "exporting.publish",
    "write_card": "exporting.write_card",
    "write_croissant": "exporting.croissant",
    "send": "exporting.send",
    "verify": "exporting.verify",
    "Image": "imaging.image",
    "Images": "library.images",
    "MixedDataset": "datasets.mixed_dataset",
    "Model": "library.model",
    "Recipe": "recipes.recipe",
    "RECIPES": "recipes",
    "Refused": "errors",
    "Report": "library.report",
    "Run": "training.run",
    "Samples": "library.samples",
    "Snapshot": "checkpoint",
    "Store": "data.store",
    "Tracker": "training.tracking.tracker",
    "StoreDataset": "datasets.store_dataset",
    "SyntheticDataset": "datasets.synthetic_dataset",
    "SyntheticImage": "library.images",
}

__all__ = [
    "RECIPES",
    "Image",
    "Images",
    "MixedDataset",
    "Model",
    "Recipe",
    "Refused",
    "Report",
    "Run",
    "Samples",
    "Snapshot",
    "Store",
    "StoreDataset",
    "SyntheticDataset",
    "SyntheticImage",
    "Tracker",
    "encode",
    "evaluate",
    "export",
    "get_example_model",
    "import_weights",
    "open",
    "prepare",
    "publish",
    "sample",
    "select",
    "send",
    "train",
    "verify",
    "write_card",
    "write_croissant",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and refuses all others

    def __getattr__(name: str) -> Any:
        """Import a verb when it is asked for, so that ``import ganatomy`` and ``--help`` need no torch.

        ``ganatomy.__version__`` is that of the installed distribution, which pyproject.toml states once.
        """
        if name == "__version__":
            from importlib.metadata import version

            return version("ganatomy")
        if name in _WHERE:
            from importlib import import_module

            return getattr(import_module(f"ganatomy.{_WHERE[name]}"), name)
        raise AttributeError(f"module 'ganatomy' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, although most are not imported yet."""
    return [*__all__, "__version__"]
