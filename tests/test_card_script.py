"""The script for a person with a GPU: what its rows say, and that every kind of row runs, tried on a processor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import _card_verdict
    import card

    return card, _card_verdict


def _row(kind, recipe, way, tiny=False, device="cuda", **found):
    shape, batch = "256,256,256", 4
    return {"kind": kind, "recipe": recipe, "shape": shape, "batch": batch, "way": way, "tiny": tiny, "device": device,
            "card": "NVIDIA H100", **found}  # fmt: skip


GOOD = [
    _row("step", "hagan", {"precision": "float32"}, True, "cpu", losses={"d": 1.0}, step_s=1.0, images_per_s=4),
    _row("step", "hagan", {"precision": "tf32"}, True, losses={"d": 1.01}, step_s=0.1, images_per_s=40),
    _row("step", "hagan", {"precision": "tf32"}, step_s=0.05, images_per_s=80, planned_mib=110, on_card_mib=100),
    _row("feed", "hagan", {"precision": "tf32", "feed": True}, step_s=0.051, images_per_s=78),
    _row("step", "hagan", {"precision": "float32"}, step_s=0.06, images_per_s=66, allocated_mib=100),
    _row("step", "hagan", {"precision": "bfloat16"}, step_s=0.05, images_per_s=80, allocated_mib=70),
    _row("resume", "hagan", {}, same_bits=True),
    _row("processes", "hagan", {"processes": 1}, images_per_s=70),
    _row("processes", "hagan", {"processes": 2}, images_per_s=130),
]


def test_what_meets_the_targets_passes(scripts):
    _, verdict = scripts
    targets = verdict.judge(GOOD)
    assert [asked for asked, _, passed in targets if passed is False] == []
    missing = [asked for asked, _, passed in targets if passed is None]
    assert len(missing) == 2  # hagan-2022 and pggan-mammogram have no row
    assert "| pass |" in verdict.format_targets(targets)
    assert len(verdict.format_table(GOOD).splitlines()) == 2 + len(GOOD)


@pytest.mark.parametrize(
    ("place", "change", "target"),
    [
        (2, {"error": "RuntimeError: broken"}, "no row fails"),
        (1, {"losses": {"d": 1.05}}, "first losses"),
        (2, {"planned_mib": 120}, "planned memory"),
        (5, {"allocated_mib": 80}, "bfloat16"),
        (3, {"step_s": 0.07}, "hagan at 256 cubed"),
        (3, {"step_s": 0.0535}, "the feed costs"),
        (6, {"same_bits": False}, "a resumed training"),
        (8, {"images_per_s": 120}, "two cards"),
    ],
)
def test_what_misses_a_target_fails(scripts, place, change, target):
    rows = [row | (change if i == place else {}) for i, row in enumerate(GOOD)]
    failed = [asked for asked, _, passed in scripts[1].judge(rows) if passed is False]
    assert any(asked.startswith(target) for asked in failed)
    assert len(failed) <= 2  # a slow feed misses the pace as well


def test_a_full_card_is_no_failure(scripts):
    rows = [*GOOD, _row("step", "vae-gan", {"precision": "tf32"}, error="torch.OutOfMemoryError: CUDA out of memory")]
    assert scripts[1].judge(rows)[0][2]
    assert "out of memory" in scripts[1].format_table(rows)


def test_it_says_what_to_change(scripts):
    faster = _row("step", "hagan", {"precision": "tf32", "channels_last": True}, step_s=0.04, images_per_s=100)
    told = list(scripts[1].advise([*GOOD, faster], {"precision": "tf32"}))
    assert any("tf32 channels_last is 25% faster than tf32" in sentence for sentence in told)
    assert list(scripts[1].advise(GOOD, {"precision": "tf32"})) == []


def test_rows_are_every_kind_and_none_twice(scripts):
    rows = scripts[0].plan_rows("cuda", False, 2)
    assert {row["kind"] for row in rows} == {"step", "feed", "resume", "processes"}
    assert len({json.dumps(row, sort_keys=True) for row in rows}) == len(rows)
    assert {row["kind"] for row in scripts[0].plan_rows("cuda", False, 1)} == {"step", "feed", "resume"}
    ways = [row["way"] for row in rows]
    for key in ("channels_last", "search_kernels", "compiled", "deterministic"):
        assert any(way.get(key) for way in ways)
    assert {way.get("upsampling") for way in ways} >= {"auto", "fold", "phases", "plain"}


@pytest.mark.ci
def test_every_row_runs_on_a_processor(tmp_path):
    """Paces are not judged: they depend on what else the machine does."""
    words = [sys.executable, str(BENCHMARKS / "card.py"), "--device", "cpu", "--tiny", "--json", str(tmp_path / "rows")]
    done = subprocess.run([*words, "--minutes", "30"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert [row for row in rows if "error" in row] == []
    assert {row["kind"] for row in rows} == {"step", "feed", "resume", "processes"}
    assert all(row["same_bits"] for row in rows if row["kind"] == "resume")
    assert "What to change:" in done.stdout
