"""What a command tells while it works: lines of 80 columns, the time left by the timetable, never silent for long."""

import io
import itertools
import re
import subprocess
import sys
import time

import pytest
import torch
from rich.console import Console

from ganatomy.machine import progress
from ganatomy.recipes import get_recipe
from ganatomy.training import time_left
from ganatomy.training.operations import StepCost, count_operations
from ganatomy.training.time_left import EFFICIENCY, TimeLeft, measure_speed

LONGEST_SILENCE = 3.0  # seconds


def test_a_line_has_at_most_eighty_columns():
    shown = progress.ProgressBar("pggan-mammogram", 15_000_000, None)
    shown.done = 12_345_678
    line = shown.describe("1280x1024, 12.3 images/s", "over 22 d 13 h")
    assert line == "pggan-mammogram: 12345678 of 15000000, 1280x1024, 12.3 imag, over 22 d 13 h left"
    assert len(line) <= 80
    assert len(progress.ProgressBar("x" * 200, 3, None).describe("y" * 200, "z")) <= 80


def test_the_bar_of_a_terminal_fits_eighty_columns():
    out = io.StringIO()
    with progress.make_display(Console(file=out, width=80, force_terminal=True)) as display:
        shown = progress.ProgressBar("pggan-mammogram", 15_000_000, display)
        shown.advance(12_345_678, "1280x1024, 12.3 images/s", "22 d 13 h")
        display.refresh()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert max(len(line) for line in re.split(r"[\r\n]", plain)) <= 80


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h"), (86_399, "23 h 59 min")],
)
def test_a_time_in_words(seconds, words):
    assert progress.format_seconds(seconds) == words


COSTS = {  # calls of kernels and operations of a step, by level
    "level 0": StepCost(2000, 10**7),
    "level 1": StepCost(3000, 10**8),
    "level 2": StepCost(4000, 3 * 10**8),
    "level 3": StepCost(5000, 6 * 10**9),
    "level 4": StepCost(6000, 8 * 10**9),
}


@pytest.mark.parametrize("call", [0.0, 5e-6, 50e-6])  # seconds
@pytest.mark.parametrize("slower", [0.3, 1.0, 3.0])  # than the speed of the device and the usual share of it suggest
def test_time_left_is_that_of_calls_and_operations(call, slower, monkeypatch):
    """Levels cost what they call and compute, and their first steps four times that."""
    monkeypatch.setattr(time_left, "PATIENCE_SECONDS", 0.0)
    recipe = get_recipe("pggan-mammogram").make_tiny().resize((80, 64)).replace(total_kimg=2.0)
    recipe = recipe.replace(strategy=recipe.strategy.replace(fade_kimg=0.2, stable_kimg=0.2, batch_sizes=(16, 16, 8)))
    left = TimeLeft(recipe, torch.device("cpu"), lambda _: COSTS, lambda _: 1e10)

    def cost(images):
        step = COSTS[recipe.plan_step(images, 0).stage]
        return call * step.calls + slower * step.operations / (1e10 * EFFICIENCY)

    told, true, images, seen = {}, {}, 0, set()
    while images < recipe.total_images:
        told[images] = left.estimate(images)
        step = recipe.plan_step(images, 0)
        true[images] = cost(images)
        left.record(images, step.batch_size, cost(images) * (1 if step.stage in seen else 4))
        seen.add(step.stage)
        images += step.batch_size
    assert told[0] is None
    for begin, wrong in ((201, 3.5), (801, 2.0), (1401, 1.25)):  # within level 1, 2 and 3
        after = [count for count in told if count > begin + 30 and told[count] is not None]
        foretold, truth = told[after[0]], sum(cost for count, cost in true.items() if count >= after[0])
        assert 1 / wrong < foretold / truth < wrong
    last = max(told)
    assert told[last] == pytest.approx(true[last], rel=1e-6)


def test_time_left_is_told_after_a_while_and_counts_nothing_where_all_parts_are_measured():
    def fails(_):
        raise AssertionError("counted")

    recipe = get_recipe("hagan").make_tiny()
    left = TimeLeft(recipe, torch.device("cpu"), fails, fails)
    assert left.estimate(0) is None
    left.record(0, 4, 9.0)
    left.record(4, 4, 0.4)
    assert left.estimate(8) == pytest.approx(0.1 * (recipe.total_images - 8))
    left = TimeLeft(get_recipe("pggan-mammogram").make_tiny(), torch.device("cpu"), fails, fails)
    left.record(0, 8, 0.1)
    assert left.estimate(8) is None


def test_operations_of_a_step_are_those_of_its_layers():
    recipe = get_recipe("pggan-mammogram")
    costs = count_operations(recipe.make_tiny())
    assert list(costs) == ["level 0", "level 1", "level 2"]
    assert costs["level 0"].operations < costs["level 1"].operations < costs["level 2"].operations
    doubled = recipe.make_tiny().replace(strategy=recipe.make_tiny().strategy.replace(batch_sizes=(16,)))
    more = count_operations(doubled)
    assert more["level 2"].calls == pytest.approx(costs["level 2"].calls, rel=0.05)
    assert more["level 2"].operations == pytest.approx(2 * costs["level 2"].operations, rel=0.1)
    assert measure_speed(torch.device("cpu")) > 1e7


def test_a_heartbeat_speaks_when_nothing_else_does(capsys, monkeypatch):
    monkeypatch.setattr(progress, "quiet", False)
    monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", 0.1)
    with progress.heartbeat("plan: at work"):
        time.sleep(0.35)
        with progress.bar("features", 10) as bar:
            bar.advance(3)
            time.sleep(0.35)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("plan: at work (") for line in lines)
    assert any(line.startswith("features: 3 of 10") for line in lines)
    before = len(lines)
    time.sleep(0.3)
    assert len(capsys.readouterr().err.splitlines()) + before == before


def _listen(words):
    """Seconds at which a command said something, and what."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "ganatomy", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    start, heard = time.monotonic(), []
    heard.extend((time.monotonic() - start, line) for line in process.stdout)
    process.stdout.close()
    assert process.wait() == 0, heard
    return [*heard, (time.monotonic() - start, "")]


def test_a_training_says_what_it_will_do_before_it_begins(store, tmp_path):
    heard = _listen(["train", "pggan-mammogram", store.path, "--tiny", "--out", tmp_path, "--threads", "1"])
    words = "".join(line for _, line in heard)
    for expected in (
        f"run         {tmp_path / '00000-pggan-mammogram'} (new)",
        "device      cpu, 1 threads, float32",
        "training images of store, 10 patients",
        "parameters  ",
        "end         at ",
    ):
        assert expected in words
    assert words.index("run  ") < words.index("complete")
    again = "".join(line for _, line in _listen(["train", "pggan-mammogram", store.path, "--tiny", "--out", tmp_path]))
    assert "00000-pggan-mammogram (continued)" in again


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["plan", "evaluate", "select"])
def test_plan_evaluate_and_select_are_never_silent_for_long(verb, run, tmp_path):
    words = {
        "plan": ["plan", "stylegan2", "--memory", "24GiB"],
        "evaluate": ["evaluate", run.path, "--out", tmp_path / "report"],
        "select": ["select", run.path],
    }[verb]
    times = [0.0, *(moment for moment, _ in _listen(words))]
    assert max(after - before for before, after in itertools.pairwise(times)) < LONGEST_SILENCE
