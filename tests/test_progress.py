"""What a command tells while it works: lines of 80 columns, the time left by the timetable, never silent for long."""

import io
import itertools
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from ganatomy.machine import progress
from ganatomy.recipes import get_recipe
from ganatomy.training.time_left import TimeLeft

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


def test_time_left_is_that_of_the_levels_and_not_a_mean():
    """Levels whose images take a hundredth of a second more for each voxel of a 20 x 16 image."""
    recipe = get_recipe("pggan-mammogram").make_tiny()
    table = recipe.make_timetable()
    assert len({step.scope.regions[0].shape for _, step in table}) > 1
    left = TimeLeft(recipe)

    def cost(images):
        shape = recipe.plan_step(images, 0).scope.regions[0].shape
        return shape[0] * shape[1] / 320

    assert left.estimate(0)[1]
    told = {}
    for images in range(0, recipe.total_images, 16):
        told[images] = left.estimate(images)
        left.record(images, 16, 16 * cost(images))
    true = {images: sum(16 * cost(i) for i in range(images, recipe.total_images, 16)) for images in told}
    last_level = max(round(kimg * 1000) for kimg, _ in table)
    halfway = [images for images in told if images > last_level]
    assert halfway
    for images in halfway:
        assert told[images] == (pytest.approx(true[images], rel=0.01), False)
    early = [images for images in told if 0 < images < last_level]
    assert all(told[images][0] <= 1.01 * true[images] for images in early if told[images][1])  # a lower bound
    mean = {images: sum(16 * cost(i) for i in range(0, images, 16)) / images for images in told if images}
    wrong = max(early, key=lambda images: abs(mean[images] * (recipe.total_images - images) / true[images] - 1))
    by_mean = abs(mean[wrong] * (recipe.total_images - wrong) / true[wrong] - 1)
    assert abs(told[max(early)][0] / true[max(early)] - 1) < by_mean


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
