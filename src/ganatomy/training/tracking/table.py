"""The trackers by name, and which of them a training tells."""

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec

from ganatomy.errors import Refused, refuse_name
from ganatomy.training.tracking.tracker import Tracker

TRACKERS = {  # the package that is needed, which is also the name of the extra; module and class
    "tensorboard": ("tensorboard", "TensorBoardTracker"),
    "mlflow": ("mlflow", "MLflowTracker"),
    "wandb": ("wandb", "WandbTracker"),
}
NO_TRACKER = "none"


def make_trackers(chosen: Iterable[str | Tracker] | None) -> list[Tracker]:
    """Make the trackers that were named and add those that were given; None = TensorBoard where it is installed.

    Raises:
        Refused: no tracker has that name, or its package is missing.
    """
    if chosen is None:
        chosen = [name for name in ("tensorboard",) if find_spec(TRACKERS[name][0]) is not None]
    return [make_tracker(one) if isinstance(one, str) else one for one in chosen if one != NO_TRACKER]


def make_tracker(name: str) -> Tracker:
    """Make the tracker of that name.

    Raises:
        Refused: no tracker has that name, or its package is missing.
    """
    if name not in TRACKERS:
        raise refuse_name(f"--track {name}: there is no such tracker", name, (*TRACKERS, NO_TRACKER))
    package, kind = TRACKERS[name]
    if find_spec(package) is None:
        raise Refused(f"--track {name} needs a package that is not installed: pip install 'ganatomy[{name}]'.")
    tracker: Tracker = getattr(import_module(f"ganatomy.training.tracking.{name}"), kind)()
    return tracker
