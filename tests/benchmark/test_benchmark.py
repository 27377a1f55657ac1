"""The benchmark: equal budgets, rows that fail and say so, going on, the page; a short form of the whole."""

import json
from contextlib import redirect_stdout
from io import StringIO

import pytest

from ganatomy.benchmark import plan as plans
from ganatomy.benchmark import published, run, tables, work
from ganatomy.benchmark.plan import BenchmarkPlan, choose_rows, get_row_folder, parse_budget
from ganatomy.benchmark.row import ROW_FILE
from ganatomy.cli import main
from ganatomy.data.prepare import prepare
from ganatomy.errors import Interrupted, Refused
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import RECIPES

SHAPE = (32, 32, 32)
BASE = {"store": "s", "fingerprint": "f", "shape": (64, 64, 64), "recipes": ("hagan",)}


def test_every_row_and_every_published_name_is_a_recipe():
    for names in (plans.ROWS, plans.ABLATION_ROWS, published.QUALITY, published.ITERATIONS_PER_SECOND):
        assert set(names) <= set(RECIPES)
    assert choose_rows((), 2) == (
        "mammogram",
        "hagan-mammogram",
        "pggan-mammogram",
        "gan-mammogram",
        "wgan-mammogram",
        "relativistic-mammogram",
    )
    assert set(choose_rows((), 3)) == set(plans.ROWS) - set(choose_rows((), 2))
    assert choose_rows(("wgan",), 3) == ("wgan",)
    with pytest.raises(Refused, match="does not train on images of 3 axes"):
        choose_rows(("pggan-mammogram",), 3)


@pytest.mark.parametrize(("budget", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_budgets(budget, seconds):
    assert parse_budget(budget) == seconds


@pytest.mark.parametrize("budget", ["30", "m", "-3m", "half an hour"])
def test_other_words_are_no_budget(budget):
    with pytest.raises(Refused, match="such as 90s, 30m or 2h"):
        parse_budget(budget)


def test_a_budget_of_time_is_a_budget_of_images_at_the_measured_rate():
    plan = BenchmarkPlan(**BASE, seconds=100)
    assert plan.make_budgeted_recipe("hagan", {"all": 12.5}).total_kimg == 1.25
    assert BenchmarkPlan(**BASE, kimg=3).make_budgeted_recipe("hagan", {"all": 12.5}).total_kimg == 3
    assert BenchmarkPlan(**BASE, kimg=32).make_budgeted_recipe("hagan", {}).ema_half_life_kimg == pytest.approx(
        0.2
    )  # 2 of 320
    assert BenchmarkPlan(**BASE, kimg=3200).make_budgeted_recipe("hagan", {}).ema_half_life_kimg == 2


def test_a_growing_recipe_reaches_its_full_size_within_the_budget():
    plan = BenchmarkPlan(**BASE, seconds=100)
    rates = {f"level {level}": 100 / 4**level for level in range(5)}
    recipe = plan.make_budgeted_recipe("pggan", rates)
    parts = recipe.make_timetable()
    assert len(parts) == 9
    assert parts[-1][1].scope.shape == (64, 64, 64)
    each = 1000 * (parts[1][0] - parts[0][0])
    assert recipe.total_images == pytest.approx(9 * each, rel=0.01)
    spent = sum(each / rates[moment.stage] for _, moment in parts)
    assert spent == pytest.approx(100, rel=0.2)  # whole images


@pytest.fixture(scope="module")
def made(volumes, tmp_path_factory):
    """A tiny benchmark of two rows by the command line, one of which fails.

    One measurement is made by a process of its own, the other and the row in this one, which has imported all already;
    the failed row is made by a process of its own when it is tried again.
    """
    folder = tmp_path_factory.mktemp("benchmark")
    out = folder / "out"
    write_cohort("chest_ct", folder / "raw", 6, seed=5, shape=SHAPE, workers=1)
    facts = FactSource(folder / "raw" / "truth.csv", {"emphysema": "emphysema"})
    others = prepare(folder / "raw", ChestCT(facts, SHAPE), folder / "others", workers=0)
    line = f"benchmark --store {volumes.path} --held-out {others.path} --out {out} --tiny --kimg 0.016 --n 8 --card 16"
    names = [word for name in ("vae-gan", "wgan") for word in ("--recipe", name)]
    with pytest.MonkeyPatch.context() as patch:
        child = run._child

        def failing(what, out, name, seed):
            if (what, name) == ("row", "wgan"):
                return 1, "", "out of memory, says the test"
            if (what, name) == ("measure", "wgan"):
                return child(what, out, name, seed)
            with redirect_stdout(StringIO()) as said:
                code = work.main(what, out, name, seed)
            return code, said.getvalue(), ""

        patch.setattr(run, "_child", failing)
        assert main([*line.split(), "--rounds", "1", *names, "--quiet"]) == 0
    return out, [*line.split(), "--rounds", "1", *names, "--quiet"]


def test_the_page_has_every_row_with_intervals_floors_and_the_papers_figures(made):
    text = (made[0] / "benchmark.md").read_text()
    quality = text.split("## Quality")[1].split("## Speed")[0]
    lines = {line.split("|")[1].strip(): line for line in quality.splitlines() if line.startswith("| ")}
    assert list(lines) == ["model", "training images (floor)", "vae-gan", "wgan"]
    assert "1.065 ± 0.008" in lines["vae-gan"]
    assert lines["vae-gan"].count("[") >= 2
    assert "failed: out of memory, says the test" in lines["wgan"]
    assert "0.016" in lines["vae-gan"]
    assert "Not computed: Frechet distance" in quality
    assert "--tiny" in text
    speed = text.split("## Speed and memory")[1]
    assert speed.count("(fits 16)") == 2
    for name in ("benchmark.html", "samples.png", "reals.png", "plane.png", "speed.json", "plan.json"):
        assert (made[0] / name).stat().st_size > 0


def test_the_parameters_by_resolution_are_the_papers():
    for row in tables.make_resolution_table(None).rows:
        assert row[3] == row[4]


def test_a_failed_row_is_tried_again_and_the_others_are_kept(made):
    out, line = made
    kept = {name: (get_row_folder(out, name, 0) / ROW_FILE).stat().st_mtime_ns for name in ("vae-gan",)}
    speed = (out / "speed.json").read_text()
    assert main(line) == 0
    assert "failed:" not in (out / "benchmark.md").read_text()
    assert kept == {name: (get_row_folder(out, name, 0) / ROW_FILE).stat().st_mtime_ns for name in kept}
    assert (out / "speed.json").read_text() == speed
    again = json.loads((get_row_folder(out, "wgan", 0) / ROW_FILE).read_text())
    assert again["kimg"] == 0.016
    assert {one["metric"] for one in again["scores"]} >= {"MMD", "KID", "inception score"}


def test_measurements_of_speed_are_kept_one_by_one(tmp_path, monkeypatch):
    asked = []

    def child(what, out, name, seed):
        asked.append(name)
        if len(asked) == 4:
            raise KeyboardInterrupt
        rate = float(len(asked))
        told = {"iterations_per_second": rate, "images_per_second": {"all": 4 * rate}, "memory_mib": 100.0}
        return (0, json.dumps(told), "") if name != "wgan-gp" else (1, "", "out of memory")

    monkeypatch.setattr(run, "_child", child)
    plan = BenchmarkPlan(**{**BASE, "recipes": ("wgan", "wgan-gp", "hagan"), "kimg": 1, "rounds": 2})
    with pytest.raises(KeyboardInterrupt):
        run._speed(plan, tmp_path)
    assert asked == ["wgan", "wgan-gp", "hagan", "wgan"]
    known = run._speed(plan, tmp_path)
    assert asked[4:] == ["wgan", "hagan"]  # the second round goes on; what failed is not tried again in it
    assert known["wgan-gp"] == {"recipe": "wgan-gp", "failed": "out of memory"}
    assert (known["hagan"]["slowest"], known["hagan"]["fastest"]) == (3, 6)


def test_two_stages_share_a_budget(tmp_path):
    plan = BenchmarkPlan(**BASE, seconds=100)
    recipe = plan.make_budgeted_recipe("latent-diffusion", {"autoencoder": 2, "prior": 8})
    assert recipe.strategy.autoencoder_kimg == pytest.approx(0.16)
    assert recipe.total_kimg == pytest.approx(0.32)  # 80 s and 20 s
    assert recipe.latent == 4 * 8**3


def test_an_interrupted_benchmark_says_so_and_another_wish_is_refused(made, monkeypatch, capsys):
    out, line = made
    row = get_row_folder(out, "vae-gan", 0) / ROW_FILE
    content = row.read_text()
    row.unlink()
    monkeypatch.setattr(run, "_child", lambda *a: (Interrupted.exit_code, "", ""))
    assert main(line) == 130
    row.write_text(content)
    assert main([*line, "--n", "6"]) == 2
    assert "was begun with another n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--out {new}", "Give either --budget"),
        ("--out {new} --kimg 1 --budget 3m", "Give either --budget"),
        ("--out {new} --budget 3", "such as 90s"),
        ("--out {new} --kimg 1 --recipe knee", "There is no recipe 'knee'"),
        ("--out {new} --kimg 1 --recipe gan-mammogram", "does not train on images of 3 axes"),
        ("--out {new} --kimg 1 --recipe hagan --shape 36,36,36", "must be a multiple of 16"),
        ("--out {used} --kimg 1 --recipe hagan", "neither empty nor a benchmark"),
    ],
)
def test_mistakes_get_one_sentence(line, words, volumes, tmp_path, capsys):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "a").write_text("a")
    places = {"new": tmp_path / "new", "used": tmp_path / "used"}
    assert main(["benchmark", "--store", str(volumes.path), *line.format(**places).split()]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_dry_run_names_the_rows(volumes, tmp_path, capsys):
    line = ["benchmark", "--store", str(volumes.path), "--out", str(tmp_path / "x"), "--budget", "1m", "--dry-run"]
    assert main(line) == 0
    assert f"{len(plans.list_rows(3))} recipes" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()
