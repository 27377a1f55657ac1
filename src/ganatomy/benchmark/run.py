"""The function `run_benchmark`: measure, train and score every row and write the page; it can be resumed."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ganatomy.benchmark import page
from ganatomy.benchmark.plan import PLAN_FILE, SPEED_FILE, BenchmarkPlan, get_row_folder
from ganatomy.benchmark.row import ROW_FILE
from ganatomy.config import explain_validation_error
from ganatomy.data.store import open_store
from ganatomy.errors import Interrupted, Refused
from ganatomy.machine import progress
from ganatomy.machine.durable import read_json, read_lines, write_json, write_lines
from ganatomy.machine.processes import run_child

FAILED_FILE, MEASUREMENTS_FILE = "failed.json", "measured.jsonl"
MAX_ERROR_CHARACTERS = 400  # of the message of a failed row


def run_benchmark(plan: BenchmarkPlan, out: Path, command: str, card_gib: float | None = None) -> Path:
    """Train and score all rows and write the page; returns the HTML file.

    Args:
        plan: the settings.
        out: a new folder, or the folder of an interrupted benchmark, which is resumed.
        command: the command line, shown on the page.
        card_gib: memory of a GPU in GiB with which the page compares the predictions; None = no comparison.

    Raises:
        Refused: `out` belongs to another benchmark, or the store is not the one with which it began.
    """
    _begin(plan, out)
    speed = _speed(plan, out)
    rows: list[dict[str, Any]] = []
    todo = [(name, seed) for name in plan.recipes for seed in plan.seeds]
    with progress.bar("benchmark", len(todo)) as bar:
        for name, seed in todo:
            rows.append(_row(plan, out, name, seed, speed[name]))
            bar.advance(note=name)
    return page.write_page(plan, out, rows, speed, command, card_gib)


def _begin(plan: BenchmarkPlan, out: Path) -> None:
    if (out / PLAN_FILE).exists():
        before = _read_plan(out)
        same = {"recipes": plan.recipes, "seeds": plan.seeds}  # rows may be added to a begun benchmark
        if before.replace(**same) != plan:
            changed = [name for name in BenchmarkPlan.model_fields if getattr(before, name) != getattr(plan, name)]
            raise Refused(
                f"{out} was begun with another {', '.join(changed)}; give the same values as then, or a new folder."
            )
    elif out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is neither empty nor a benchmark; give a new folder.")
    if open_store(Path(plan.store)).manifest.fingerprint != plan.fingerprint:
        raise Refused(f"{plan.store} has changed since the benchmark was begun; give a new folder.")
    write_json(out / PLAN_FILE, plan.model_dump(mode="json"))


def _read_plan(out: Path) -> BenchmarkPlan:
    try:
        return BenchmarkPlan.model_validate(read_json(out / PLAN_FILE))
    except ValidationError as error:
        why = explain_validation_error(error, BenchmarkPlan)
        raise Refused(
            f"{out / PLAN_FILE} is no plan of a benchmark: {why}. Restore it, or give a new folder."
        ) from error


def _speed(plan: BenchmarkPlan, out: Path) -> dict[str, Any]:
    """Measure the speed and memory of every row in rounds over all rows; medians, since the machine's load varies."""
    known: dict[str, Any] = read_json(out / SPEED_FILE) if (out / SPEED_FILE).exists() else {}
    missing = [name for name in plan.recipes if name not in known]
    lines = read_lines(out / MEASUREMENTS_FILE) if (out / MEASUREMENTS_FILE).exists() else []
    with progress.bar("measuring speed", len(missing) * plan.rounds) as bar:
        for turn in range(plan.rounds):
            for name in missing:
                mine = [line for line in lines if line["recipe"] == name]
                if len(mine) <= turn and not any("failed" in line for line in mine):
                    code, said, error = _child("measure", out, name, 0)
                    told = json.loads(said.splitlines()[-1]) if code == 0 else {"failed": error}
                    lines.append({"recipe": name, **told})
                    write_lines(out / MEASUREMENTS_FILE, lines)
                bar.advance(note=name)
    for name in missing:
        mine = [line for line in lines if line["recipe"] == name]
        known[name] = next((line for line in mine if "failed" in line), None) or _median(mine)
    write_json(out / SPEED_FILE, known)
    return known


def _median(measurements: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [one["iterations_per_second"] for one in measurements]
    parts = measurements[0]["images_per_second"]
    return {
        **measurements[0],
        "iterations_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "images_per_second": {
            part: statistics.median(one["images_per_second"][part] for one in measurements) for part in parts
        },
        "memory_mib": statistics.median(one["memory_mib"] for one in measurements),
    }


def _row(plan: BenchmarkPlan, out: Path, name: str, seed: int, speed: dict[str, Any]) -> dict[str, Any]:
    """Read a finished row or make it now; a failure becomes a row with the reason, and is repeated by the next call."""
    folder = get_row_folder(out, name, seed)
    if (folder / ROW_FILE).exists():
        return read_json(folder / ROW_FILE)
    (folder / FAILED_FILE).unlink(missing_ok=True)
    if "failed" in speed:
        error = speed["failed"]
    else:
        code, _, error = _child("row", out, name, seed)
        if code == 0:
            return read_json(folder / ROW_FILE)
        if code in (Interrupted.exit_code, -2):
            raise Interrupted("The benchmark was interrupted; give the same command again to resume it.")
        error = error or f"ended by signal {-code}"
    row = {"recipe": name, "seed": seed, "failed": error}
    write_json(folder / FAILED_FILE, row)
    return row


def _child(task: str, out: Path, name: str, seed: int) -> tuple[int, str, str]:
    """Run a child process; returns its exit code, its standard output, and the last line of its standard error."""
    command = [sys.executable, "-m", "ganatomy.benchmark.work", task, str(out), name, str(seed)]
    done = run_child(command)
    return done.returncode, done.stdout, done.stderr.strip()[-MAX_ERROR_CHARACTERS:].split("\n")[-1]
