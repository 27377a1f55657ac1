"""The settings of a benchmark, and how a budget is applied equally to different recipes."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ganatomy.config import Config
from ganatomy.errors import Refused, refuse_name
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.recipes.changes import change_pace
from ganatomy.recipes.recipe import Recipe

ROWS = (  # in the order of the tables; a store uses those with its number of axes
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
    "volume",
    "hagan",
    "hagan-2022",
    "hagan-no-low",
    "hagan-no-encoder",
    "hagan-deterministic",
    "mammogram",
    "pggan-mammogram",
    "gan-mammogram",
    "wgan-mammogram",
    "relativistic-mammogram",
)
ABLATION_ROWS = ("hagan-2022", "hagan-no-low", "hagan-no-encoder", "hagan-deterministic")
PLAN_FILE, SPEED_FILE = "plan.json", "speed.json"  # in the folder of a benchmark
SECONDS_BY_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0}


class BenchmarkPlan(Config):
    """All settings that determine the results of a benchmark, except the machine.

    Args:
        store: path of the training set.
        fingerprint: of the training set.
        held_out: path of a store of other patients; None = the test patients of `store`.
        recipes: names of the recipes, which are the rows.
        seeds: each row is trained once with each seed.
        shape: pixels or voxels per axis, for all rows; None = the shape of the store.
        kimg: training length of each row in thousands of images; None = as many as it sees in `seconds`.
        seconds: training time of each row and seed.
        tiny: train small versions of the recipes.
        n: number of samples that are drawn and compared.
        rounds: repetitions of the speed measurement, each over all rows in turn.
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
        """Make the recipe of a row at the benchmark's shape."""
        recipe = get_recipe(name)
        return (recipe.make_tiny() if self.tiny else recipe).resize(self.shape)

    def make_budgeted_recipe(self, name: str, rates: dict[str, float]) -> Recipe:
        """Make the recipe of a row so that it ends when its budget is used up.

        A recipe with several parts sees as many images in each, so that it reaches its full size or last stage. Its
        schedules and the half-life of its average of the weights are shortened as its training is.

        Args:
            rates: images per second by the stage of the timetable.
        """
        recipe = self.recipe(name)
        parts = [moment.stage for _, moment in recipe.make_timetable()]
        if self.kimg is not None:
            each = 1000 * self.kimg / len(parts)
        else:
            assert self.seconds is not None
            each = self.seconds / sum(1 / rates[part] for part in parts)
        whole = max(round(each), recipe.plan_step(0, 0).batch_size)  # images per stage of the timetable
        total = len(parts) * whole / 1000
        paced = change_pace(recipe, min(1.0, total / recipe.total_kimg))
        return paced.replace(total_kimg=total, strategy=recipe.strategy.change_stage_length(whole / 1000))


def parse_budget(budget: str) -> float:
    """Parse a training time such as ``30m``, ``90s`` or ``2h``; returns seconds.

    Raises:
        Refused: the text has another form.
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
    """List the rows for images with `ndim` axes."""
    return tuple(name for name in ROWS if len(get_recipe(name).shape) == ndim)


def choose_rows(names: tuple[str, ...], ndim: int) -> tuple[str, ...]:
    """Choose the named rows; without names, all rows for images with `ndim` axes.

    Raises:
        Refused: a name is unknown, or its recipe has another number of axes.
    """
    known = list_rows(ndim)
    for name in names:
        if name not in RECIPES:
            raise refuse_name(f"There is no recipe {name!r}", name, RECIPES)
        if name not in known:
            raise refuse_name(f"{name} does not train on images of {ndim} axes", name, known)
    return names or known


def get_row_folder(out: Path, name: str, seed: int) -> Path:
    """Return the folder of a row with one seed, below the folder of the benchmark."""
    return out / "rows" / f"{name}-seed{seed}"
