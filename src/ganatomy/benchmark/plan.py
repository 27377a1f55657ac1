"""The settings of a benchmark, and how a budget is applied equally to different recipes."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ganatomy.config import Config
from ganatomy.errors import Refused
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.recipe import Recipe

ROWS = (  # in the order of the tables; which of them fit a store, their own number of axes decides
    "wgan",
    "wgan-gp",
    "vae-gan",
    "alpha-gan",
    "cce-gan",
    "pggan",
    "stylegan2",
    "vae",
    "autoregressive",
    "latent-diffusion",
    "relativistic",
    "hagan",
    "hagan-2022",
    "hagan-no-low",
    "hagan-no-encoder",
    "hagan-deterministic",
    "pggan-mammogram",
    "gan-mammogram",
    "wgan-mammogram",
    "relativistic-mammogram",
)
ABLATION_ROWS = ("hagan-2022", "hagan-no-low", "hagan-no-encoder", "hagan-deterministic")
PLAN_FILE, SPEED_FILE = "plan.json", "speed.json"  # files of a benchmark's folder
SECONDS_BY_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0}


class BenchmarkPlan(Config):
    """Everything that decides the numbers of a benchmark but the machine.

    Args:
        store: path of the training set, and its fingerprint.
        held_out: path of a store of other patients; None = the test patients of `store`.
        recipes: rows.
        seeds: each row is trained once with every one.
        shape: of all rows; None = the store's.
        kimg: images that each row sees, in thousands; None = what it sees in `seconds`.
        seconds: training time of each row and seed.
        tiny: every recipe made small.
        n: samples that are drawn and compared.
        rounds: of the measurement of speed, over all rows in turn.
    """

    format: Literal[1] = 1
    store: str
    fingerprint: str
    held_out: str | None = None
    recipes: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    shape: tuple[int, ...]
    kimg: float | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0)
    tiny: bool = False
    n: int = Field(64, ge=4)
    extractor: str = "random"
    weights: str | None = None
    device: str | None = None
    rounds: int = Field(3, ge=1)

    def recipe(self, name: str) -> Recipe:
        """A row's recipe at the benchmark's shape."""
        recipe = get_recipe(name)
        return (recipe.make_tiny() if self.tiny else recipe).resize(self.shape)

    def make_budgeted_recipe(self, name: str, rates: dict[str, float]) -> Recipe:
        """The same, to end when its budget is spent.

        A recipe with several parts sees as many images in each, so that it reaches its full size or last stage. The
        half-life of its average of the weights is shortened as its training is.

        Args:
            rates: images a second by the part of the timetable.
        """
        recipe = self.recipe(name)
        parts = [moment.stage for _, moment in recipe.make_timetable()]
        if self.kimg is not None:
            each = 1000 * self.kimg / len(parts)
        else:
            assert self.seconds is not None
            each = self.seconds / sum(1 / rates[part] for part in parts)
        whole = max(round(each), recipe.plan_step(0, 0).batch_size)  # images of a part of the timetable
        total = len(parts) * whole / 1000
        shorter = min(1.0, total / recipe.total_kimg)  # the average of the weights keeps its share of the training
        return recipe.replace(
            total_kimg=total,
            strategy=recipe.strategy.change_stage_length(whole / 1000),
            ema_half_life_kimg=recipe.ema_half_life_kimg * shorter,
        )


def parse_budget(budget: str) -> float:
    """Seconds of words such as ``30m``, ``90s`` or ``2h``.

    Raises:
        Refused: another form.
    """
    unit = SECONDS_BY_UNIT.get(budget[-1:], 0.0)
    try:
        seconds = float(budget[:-1]) * unit
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise Refused(f"--budget {budget}: give a time for each row, such as 90s, 30m or 2h.")
    return seconds


def list_rows(ndim: int) -> tuple[str, ...]:
    """All rows for images of so many axes."""
    return tuple(name for name in ROWS if len(get_recipe(name).shape) == ndim)


def choose_rows(names: tuple[str, ...], ndim: int) -> tuple[str, ...]:
    """The rows that were named, or all that there are for images of so many axes.

    Raises:
        Refused: an unknown name, or one for other images.
    """
    known = list_rows(ndim)
    for name in names:
        if name not in RECIPES:
            raise Refused(f"There is no recipe {name!r}; choose one of {', '.join(RECIPES)}.")
        if name not in known:
            raise Refused(f"{name} does not train on images of {ndim} axes; choose one of {', '.join(known)}.")
    return names or known


def get_row_folder(out: Path, name: str, seed: int) -> Path:
    return out / "rows" / f"{name}-seed{seed}"
