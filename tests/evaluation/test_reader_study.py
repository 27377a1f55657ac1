"""The reader study: blinded, and readable back; `tests/studio/test_reading.py` tests the page that is served."""

import json

import numpy as np
import pytest
from PIL import Image as Pillow

from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.evaluation.statistics import compute_auc_interval
from ganatomy.studies.reader_study import describe_readers, make_study, read_answers


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "study"
    assert make_study(run.path, out) == 8
    return out


def _key(made):
    return json.loads((made / "key.json").read_text())


def _answer(made, rate, reader="A", **changes):
    key = _key(made)
    ratings = {name: rate(synthetic, i) for i, (name, synthetic) in enumerate(key["synthetic"].items())}
    return {"study": key["study"], "reader": reader, "ratings": ratings} | changes


def test_nothing_but_the_key_tells_which_is_which(made):
    key = _key(made)["synthetic"]
    assert sum(key.values()) == 4
    page = (made / "page.html").read_text()
    assert "true" not in page.split("const study =")[1].split(";")[0]
    assert "http://" not in page
    assert "https://" not in page
    sizes, texts = set(), set()
    for name in key:
        with Pillow.open(made / "images" / name) as picture:
            sizes.add((picture.size, picture.mode))
            texts.add(str(picture.info))
    assert len(sizes) == len(texts) == 1
    assert (made / "images" / "0001.png").stat().st_mtime_ns


def test_answers_are_read_back(made, tmp_path, capsys):
    readers = {
        "expert": lambda synthetic, i: 1 if synthetic else 6,
        "guesser": lambda synthetic, i: 3 + i % 2,
        "upside-down": lambda synthetic, i: 6 if synthetic else 1,
    }
    for name, rate in readers.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(_answer(made, rate, name)))
    found = {one.reader: one for one in read_answers(made, tmp_path)}
    assert found["expert"].auc == 1
    assert found["upside-down"].auc == 0
    assert found["expert"].can_tell
    assert found["upside-down"].can_tell
    assert not found["guesser"].can_tell
    assert "2 of 3 readers have an interval that leaves 0.5 out" in describe_readers(list(found.values()))
    assert main(["evaluate", str(made), "--answers", str(tmp_path)]) == 0
    assert "2 of 3 readers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not an answer"),
        ('{"reader": 1}', "not an answer"),
        (lambda made: _answer(made, lambda s, i: 1, study="other"), "answers the study other"),
        (lambda made: _answer(made, lambda s, i: 7 if i else 1), "rates 1 of 8 images"),
    ],
)
def test_answers_to_something_else_are_refused(made, tmp_path, content, words):
    (tmp_path / "a.json").write_text(content if isinstance(content, str) else json.dumps(content(made)))
    with pytest.raises(Refused, match=words):
        read_answers(made, tmp_path)


def test_no_study_and_no_answers_are_refused(made, tmp_path):
    with pytest.raises(Refused, match="no answer"):
        read_answers(made, tmp_path)
    with pytest.raises(Refused, match="not a reader study"):
        read_answers(tmp_path, tmp_path)
    with pytest.raises(Refused, match="not empty"):
        make_study(made, made)


def test_intervals_of_areas_hold_the_truth():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        real, fake = rng.normal(size=30) + 0.7, rng.normal(size=30)
        low, high = compute_auc_interval(float((real[:, None] > fake).mean()), 30, 30)
        inside += low <= 0.6897 <= high  # P(N(0.7, 1) > N(0, 1))
    assert inside >= 276
    assert compute_auc_interval(1.0, 30, 30)[0] < 1
    assert compute_auc_interval(1.0, 30, 30)[1] == 1
    assert compute_auc_interval(0.0, 30, 30)[0] == 0


def test_one_bad_answer_does_not_stop_the_others(made, tmp_path, capsys):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps(_answer(made, lambda s, i: 6 - 5 * s)))
    (tmp_path / "c.json").write_text(json.dumps(_answer(made, lambda s, i: 1, study="other")))
    assert main(["evaluate", str(made), "--answers", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "a.json is not an answer" in told
    assert "c.json answers the study other" in told
    assert "1 of 1 readers" in told


def test_the_page_says_that_it_shows_patients_and_holds_no_tag_of_a_name(made):
    page = (made / "page.html").read_text()
    assert "The others are phantoms; they show no patients." in page
    assert "<" not in page.split("const study = ")[1].split(";\n")[0]
