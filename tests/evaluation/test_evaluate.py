"""Selection and report: different patients, floors beside values, every picture there."""

import json

import numpy as np
import pytest
from PIL import Image as Pillow

from ganatomy.data.prepare import prepare
from ganatomy.errors import Refused
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.evaluation.images.sets import select_matching_images, select_real_images
from ganatomy.evaluation.metrics.nearest import find_nearest, make_unit_vectors
from ganatomy.exporting.export import write_samples
from ganatomy.imaging.marking import SIDE_BY_SIDE, TRAINED
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.marks import read_picture_mark
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.sampling import sample
from ganatomy.selection import _describe_descent, describe_selection, select


@pytest.fixture(scope="module")
def selected(run):
    return select(run)


def test_the_best_snapshot_is_ranked_with_its_margin(run, selected):
    selection = json.loads((run.path / "selection.json").read_text())
    averages = [row["average"] for row in selection["ranking"]]
    assert averages == sorted(averages)
    assert len(averages) >= 2
    assert selection["best"] == selected.path.name == selection["ranking"][0]["snapshot"]
    assert 0 < selection["floor"]["average"] < averages[0]
    assert "is ahead of the next by" in selection["verdict"]
    assert "images per set" in selection["protocol"]


def test_a_distance_that_still_falls_is_said():
    assert "still decreased by 10 % per snapshot" in _describe_descent([(k, 100 * 0.9**k) for k in range(8)])
    assert "still decreased" in _describe_descent([(k, 100 * 0.9**k * (1.01, 0.99)[k % 2]) for k in range(8)])
    assert _describe_descent([(k, 50 + (1, -1, 2, -2)[k % 4]) for k in range(8)]) is None
    assert _describe_descent([(k, 100 * 0.5**k) for k in range(3)]) is None  # three snapshots are too few
    assert _describe_descent([(k, 50 + k) for k in range(8)]) is None


def test_snapshots_are_also_judged_by_the_learned_test_or_it_is_said_why_not(run, selected):
    rows = json.loads((run.path / "selection.json").read_text())["ranking"]
    assert "needs 8" in rows[0]["told_apart"]["why"]  # the store has six patients
    assert "not tested: it needs 8" in describe_selection(run)


def test_the_report_of_a_run(run, selected, tmp_path):
    content = evaluate(run.path, out=tmp_path / "report")
    assert content["compared"]["real_split"] == "test"
    assert content["swd"]["real_floor"]["average"] < content["swd"]["fake"]["average"]
    assert content["images"]["snapshot_sha256"] == selected.digest
    page = (tmp_path / "report" / "report.html").read_text()
    pictures = {
        "random_CC",
        "random_MLO",
        "real_beside_synthetic",
        "synthetic_nearest_training",
        "embedding",
        "best",
        "told_apart",
        "real_nearest_synthetic",
        "hanging",
        "swd",
        "selection",
        "training",
        "failures_CC",
        "failures_MLO",
        "measures",
        "moments",
        "spectrum",
    }
    assert {file.stem for file in (tmp_path / "report").glob("*.png")} == pictures
    assert page.count("data:image/png;base64,") == len(pictures)
    _check_marks(tmp_path / "report", content["images"])
    assert "http://" not in page
    assert "https://" not in page
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == content


def _check_marks(report, about):
    """Every picture of images says what it shows and by which model, without a name of a file or folder."""
    charts = {"embedding", "swd", "selection", "training", "measures", "moments", "spectrum"}
    for file in report.glob("*.png"):
        with Pillow.open(file) as picture:
            mark = read_picture_mark(picture)
        if file.stem in charts:
            assert mark is None
            continue
        alone = file.stem.startswith("random") or file.stem == "hanging"
        assert mark.source == (TRAINED if alone else SIDE_BY_SIDE), file
        assert mark.says_synthetic  # the store holds phantoms alone
        assert mark.record == {name: about[name] for name in ("generator", "snapshot_sha256", "kimg", "seed")}


def test_the_report_of_a_folder_of_samples(run, store, tmp_path):
    from ganatomy.checkpoint import open_snapshot

    snapshot = open_snapshot(run.list_snapshots()[-1])
    write_samples(sample(snapshot, 12, 5), 12, snapshot.modality, tmp_path / "samples", "png")
    content = evaluate(tmp_path / "samples", store, tmp_path / "report")
    assert content["compared"]["images_a_side"] == 4  # one test patient has four views
    with pytest.raises(Refused, match="not empty"):
        evaluate(tmp_path / "samples", store, tmp_path / "report")


def test_selection_and_report_use_different_patients(store):
    shape = (20, 16)
    sides = {
        name: {case["patient"] for case in select_real_images(store, name, shape).cases}
        for name in ("train", "validation", "test")
    }
    assert not sides["validation"] & sides["test"]
    floor = select_matching_images(store, "train", select_real_images(store, "test", shape))
    assert floor.facts() == select_real_images(store, "test", shape).facts()
    assert not {case["patient"] for case in floor.cases} & sides["test"]


def test_held_out_images_without_the_facts_of_the_store_are_named(store):
    held_out = select_real_images(store, "test", store.manifest.shape)
    bare = held_out.select_cases([{**case, "facts": {}} for case in held_out.cases])
    with pytest.raises(Refused, match=r"have no facts, those of .* have laterality, view_position; prepare both"):
        select_matching_images(store, "train", bare)


def test_too_few_patients_are_refused(tmp_path):
    write_cohort("mammogram", tmp_path / "raw", 2, shape=(80, 64))
    store = prepare(tmp_path / "raw", Mammogram(shape=(40, 32)), tmp_path / "store", workers=0)
    with pytest.raises(Refused, match="three patients"):
        select_real_images(store, "test", (20, 16))


def test_a_planted_copy_is_the_nearest():
    rng = np.random.default_rng(0)
    images = [rng.random((20, 16)).astype(np.float32) for _ in range(30)]
    jittered = 0.9 * images[17] + 0.1 * rng.random((20, 16)).astype(np.float32)
    found, correlation = find_nearest(make_unit_vectors([jittered]), make_unit_vectors(images))
    assert found[0] == 17
    assert correlation[0] > 0.95
    with pytest.raises(Refused, match="one shape"):
        make_unit_vectors([np.zeros((3, 3)), np.zeros((3, 4))])
