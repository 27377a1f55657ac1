"""Tables of a benchmark, as cells of text."""

from statistics import mean
from typing import Any

from ganatomy.benchmark import published
from ganatomy.benchmark.plan import ABLATION_ROWS, BenchmarkPlan
from ganatomy.evaluation.report.table import Table
from ganatomy.pyramid import format_shape
from ganatomy.recipes import get_recipe
from ganatomy.steps import hierarchy
from ganatomy.training.plan import count_parameters, estimate_memory

QUALITY_METRICS = (*published.PUBLISHED_METRICS, "KID")
EMPTY_CELL = "-"


def make_intro(plan: BenchmarkPlan, rows: list[dict[str, Any]], speed: dict[str, Any], command: str) -> list[str]:
    """Make the sentences that state the command, the store, the budget and the machine."""
    done = [row for row in rows if "failed" not in row]
    machine = next((s for s in speed.values() if "failed" not in s), None)
    budget = f"{plan.kimg:g} thousand images" if plan.kimg else f"{plan.seconds:g} s"
    seeds = f"seed{'s' if len(plan.seeds) > 1 else ''} {', '.join(map(str, plan.seeds))}"
    told = [f"All images of models are synthetic. Command: {command}"]
    told.append(
        f"Store {plan.fingerprint[:16]}, images of"
        f" {format_shape(plan.shape)}{' (tiny recipes)' if plan.tiny else ''}; every"
        f" row was trained for {budget} with {seeds}."
    )
    if done:
        told.append(f"{done[0]['images']} images on each side, of {done[0]['patients']} held-out patients.")
    if machine:
        told.append(f"Device {machine['device']} ({machine['machine']}), {machine['precision']}.")
    return told


def make_tables(
    plan: BenchmarkPlan, rows: list[dict[str, Any]], speed: dict[str, Any], card_gib: float | None
) -> list[Table]:
    """Make all tables for which there are results."""
    found = [make_quality_table(plan, rows, plan.recipes, "Quality")]
    ablations = tuple(name for name in ABLATION_ROWS if name in plan.recipes)
    if len(ablations) > 1:
        found.append(make_quality_table(plan, rows, ablations, "Ablation of HA-GAN"))
    found.append(make_cost_table(plan, speed, card_gib))
    if len(plan.shape) == 3 and {"hagan", "hagan-2022"} & set(plan.recipes):
        found.append(make_resolution_table(card_gib))
    return found


def make_quality_table(plan: BenchmarkPlan, rows: list[dict[str, Any]], names: tuple[str, ...], title: str) -> Table:
    """Make the table of metrics with intervals; the first row has the floors, the last column the paper's figures."""
    done = [row for row in rows if "failed" not in row]
    metrics = [m for m in QUALITY_METRICS if any(s["metric"] == m for row in done for s in row["scores"])]
    body: list[tuple[str, ...]] = []
    if done:
        floors = [next((s["floor"] for s in done[0]["scores"] if s["metric"] == m), None) for m in metrics]
        body.append(
            (
                "training images (floor)",
                EMPTY_CELL,
                *(EMPTY_CELL if f is None else f"{f:.4g}" for f in floors),
                EMPTY_CELL,
            )
        )
    for name in names:
        mine = [row for row in done if row["recipe"] == name]
        if mine:
            kimg = f"{mean(row['kimg'] for row in mine):.3g}"
            body.append((name, kimg, *(_cell(mine, metric) for metric in metrics), _format_published(name)))
        else:
            why = next((row["failed"] for row in rows if row["recipe"] == name), "not made")
            body.append(
                (
                    name,
                    EMPTY_CELL,
                    *[f"failed: {why}" if i == 0 else EMPTY_CELL for i in range(len(metrics))],
                    EMPTY_CELL,
                )
            )
    left_out = [one for row in done[:1] for one in row["not_computed"] if one["metric"] in QUALITY_METRICS]
    missing = {one["metric"]: one["why"] for one in left_out}
    words = (
        f"Features: {plan.extractor}. Brackets give the 95 % interval of one training (jackknife over patients), or the"
        " range over seeds if there are several. The floor compares training with held-out images. The paper's"
        " figures were measured on other data with other features."
    )
    words += "".join(f" Not computed: {metric}, {why}." for metric, why in missing.items())
    return Table(title, ("model", "kimg", *metrics, "paper: FID, MMD, IS"), body, words)


def _cell(rows: list[dict[str, Any]], metric: str) -> str:
    found = [s for row in rows for s in row["scores"] if s["metric"] == metric]
    if not found:
        return EMPTY_CELL
    values = [s["value"] for s in found]
    if len(found) > 1:
        return f"{mean(values):.4g} [{min(values):.4g}, {max(values):.4g}]"
    low, high = found[0]["low"], found[0]["high"]
    return f"{values[0]:.4g}" + ("" if low is None else f" [{low:.4g}, {high:.4g}]")


def _format_published(name: str) -> str:
    told = []
    for data, cells in published.QUALITY.get(name, {}).items():
        told.append(f"{data}: " + ", ".join(f"{cell.value:g} ± {cell.deviation:g}" for cell in cells.values()))
    return "; ".join(told) or EMPTY_CELL


def make_cost_table(plan: BenchmarkPlan, speed: dict[str, Any], card_gib: float | None) -> Table:
    """Make the table of speed, memory and number of parameters."""
    body: list[tuple[str, ...]] = []
    for name in plan.recipes:
        found = speed[name]
        if "failed" in found:
            body.append((name, f"failed: {found['failed']}", *[EMPTY_CELL] * 6))
            continue
        recipe = plan.recipe(name)
        predicted = sum(estimate_memory(recipe).values())
        paper = published.ITERATIONS_PER_SECOND.get(name)
        body.append(
            (
                name,
                f"{found['iterations_per_second']:.3g} [{found['slowest']:.3g}, {found['fastest']:.3g}]",
                str(found["batch_size"]),
                f"{list(found['images_per_second'].values())[-1]:.3g}",
                f"{found['memory_mib']:.0f}",
                _format_memory(predicted, card_gib),
                f"{sum(found['parameters'].values()) / 1e6:.1f}",
                EMPTY_CELL if paper is None else f"{paper:g}",
            )
        )
    words = (
        "All rows were measured in the same way: each in its own process, after one warm-up step, as the median over"
        f" {plan.rounds} round{'s' if plan.rounds > 1 else ''} of all rows in turn; brackets give the slowest and the"
        " fastest. An iteration is one step of all networks and includes the five updates of the critic if a recipe has"
        " them; for a recipe with levels or stages it is an iteration of the last one. Memory is the measured peak of"
        " the process above that of the imported libraries; the prediction is for a whole process in float32 on a CPU,"
        " libraries included. The paper does not state the size and the GPU of its speed measurements."
    )
    heads = (
        "model",
        "iterations/s",
        "batch",
        "images/s",
        "peak MiB",
        "predicted GiB",
        "parameters (million)",
        "paper: iterations/s",
    )
    return Table("Speed and memory", heads, body, words)


def _format_memory(gib: float, card_gib: float | None) -> str:
    if card_gib is None:
        return f"{gib:.2f}"
    return f"{gib:.2f}" + (f" (out of memory at {card_gib:g})" if gib > card_gib else f" (fits {card_gib:g})")


def make_resolution_table(card_gib: float | None) -> Table:
    """Make the table of HA-GAN's memory and parameters by resolution, beside the paper's figures."""
    body: list[tuple[str, ...]] = []
    for size, megabytes in published.MEMORY_MB.items():
        shape = (size,) * 3
        if not hierarchy.fits_hierarchy(shape):
            continue
        recipe = get_recipe("hagan-2022").resize(shape)
        gib = sum(estimate_memory(recipe).values())
        million = sum(count_parameters(recipe).values()) / 1e6
        body.append(
            (
                format_shape(shape),
                _format_memory(gib, card_gib),
                f"{megabytes / 1024:.2f}",
                f"{million:.1f}",
                f"{published.PARAMETERS_MILLION[size]:g}",
            )
        )
    words = (
        "hagan-2022 at its own batch of 4, predicted without allocation; the paper's figures were measured on a GPU."
    )
    heads = ("resolution", "predicted GiB", "paper: GiB", "parameters (million)", "paper: parameters (million)")
    return Table("HA-GAN by resolution", heads, body, words)
