"""Anybody's images: PNG, NPY, DICOM and NIfTI folders, and what is wrong with some of them."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from ganatomy.checkpoint import open_snapshot
from ganatomy.cli import main
from ganatomy.data.prepare import prepare
from ganatomy.data.samples import AUDIT_FILE
from ganatomy.data.store import quantise_pixels
from ganatomy.errors import Refused
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.evaluation.images.foreign import read_foreign_images
from ganatomy.evaluation.images.sample_cache import SampleCache
from ganatomy.evaluation.images.sets import check_disjoint, select_real_images
from ganatomy.exporting.export import write_samples
from ganatomy.imaging.marking import TRAINED
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.marks import read_picture_mark
from ganatomy.phantoms.cohort import write_cohort as phantoms
from ganatomy.sampling import sample


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Five other phantom patients, as raw files of another tool would be."""
    folder = tmp_path_factory.mktemp("others") / "raw"
    phantoms("mammogram", folder, 5, seed=9, shape=(320, 256))
    return folder


def _pngs(others, folder, store, views=("CC", "MLO")):
    """The same as 8-bit PNG with a table of facts."""
    folder.mkdir(exist_ok=True)
    kind = Mammogram(shape=(80, 64))
    rows = ["file,view_position,laterality,patient"]
    for candidate in kind.list_candidates(others):
        image, _ = kind.read(candidate)
        name = candidate.name.replace("/", "-").replace(".dcm", ".png")
        Pillow.fromarray((image.pixels * 255).astype(np.uint8)).save(folder / name)
        view = image.facts["view_position"] if image.facts["view_position"] in views else "XX"
        rows.append(f"{name},{view},{image.facts['laterality']},elsewhere {name[:12]}")
    (folder / "facts.csv").write_text("\n".join(rows))
    return folder


def test_dicom_and_png_of_another_tool_go_through_the_stores_preparation(others, store, tmp_path):
    for folder in (others, _pngs(others, tmp_path / "png", store)):
        facts = FactSource() if folder == others else FactSource(folder / "facts.csv")
        n, level, drawn = read_foreign_images(folder, store, facts, None, 100)
        stack = SampleCache(drawn, n, level)
        assert len(stack) == 20
        assert stack.shape == (80, 64)
        assert {f["view_position"] for f in stack.facts()} == {"CC", "MLO"}
        assert stack[0].min() == -1


def test_the_report_of_anybodys_images(others, store, tmp_path, capsys):
    out = tmp_path / "report"
    assert main(["evaluate", str(others), str(store.path), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "real floor" in told
    content = json.loads((out / "report.json").read_text())
    assert content["compared"]["images_a_side"] == 4
    assert content["compared"]["trained_on_this_store"] is None
    assert "but assumed" in (out / "report.html").read_text()
    for file in out.glob("*.png"):  # nobody knows whether these are synthetic, and no name of their folder is told
        with Pillow.open(file) as picture:
            mark = read_picture_mark(picture)
        assert mark is None or (mark.source != TRAINED and mark.record == {})
    assert content["failures"]["parts"] == ["manifold", "anatomy", "learned"]


@pytest.mark.parametrize("level", [(80, 64), (40, 32), (20, 16)])
def test_the_raw_files_of_a_store_are_its_own_images_at_every_level(others, tmp_path, level):
    made = prepare(others, Mammogram(shape=(80, 64)), tmp_path / "store", workers=1)
    n, _, drawn = read_foreign_images(others, made, FactSource(), level, 100)
    cases = {case["file"]: case["row"] for case in made.cases}
    for image, record in drawn:
        stored = made.read([cases[record["file"]]], level)[0]
        assert (quantise_pixels(image.pixels) == stored).all()
    assert n == len(cases)


def test_npy_of_a_stored_size(store, tmp_path):
    for i, case in enumerate(store.cases[:6]):
        np.save(tmp_path / f"{i}.npy", select_real_images(store, "train", (40, 32))[i])
        assert case
    facts = FactSource(constants={"view_position": "CC"})
    n, level, drawn = read_foreign_images(tmp_path, store, facts, None, 100)
    assert (n, level) == (6, (40, 32))
    assert SampleCache(drawn, n, level).facts()[0] == {"view_position": "CC"}
    np.save(tmp_path / "6.npy", np.full((40, 32), 7.0))
    with pytest.raises(Refused, match=r"1 of 7 files .* not in \[-1, 1\]"):
        list(read_foreign_images(tmp_path, store, facts, None, 100)[2])
    with pytest.raises(Refused, match="no level 50x50"):
        read_foreign_images(tmp_path, store, facts, (50, 50), 100)


def test_nifti_of_another_tool(volumes, tmp_path):
    phantoms("chest_ct", tmp_path / "raw", 4, seed=3, shape=(32, 32, 32), to="nifti", workers=1)
    facts = FactSource(tmp_path / "raw" / "truth.csv")
    n, level, drawn = read_foreign_images(tmp_path / "raw", volumes, facts, None, 100)
    stack = SampleCache(drawn, n, level)
    assert stack.shape == (32, 32, 32)
    assert {f["emphysema"] for f in stack.facts()} <= {"none", "mild", "severe"}


@pytest.mark.parametrize("n", [0, 1])
def test_no_image_and_one_image_are_refused(store, tmp_path, n):
    folder = tmp_path / "few"
    folder.mkdir()
    for i in range(n):
        np.save(folder / f"{i}.npy", select_real_images(store, "test", (80, 64))[i])
    facts = FactSource(constants={"view_position": "CC", "laterality": "L"})
    with pytest.raises(Refused, match="holds no file" if n == 0 else "too few; at least 4 are needed"):
        evaluate(folder, store, tmp_path / "report", facts=facts)
    assert not (tmp_path / "report").exists()


def test_labels_that_no_real_image_has_are_refused(store, tmp_path):
    for i in range(5):
        np.save(tmp_path / f"{i}.npy", select_real_images(store, "train", (80, 64))[i])
    with pytest.raises(Refused, match=r"No labels agree: the synthetic images have view_position=XCCL"):
        evaluate(tmp_path, store, tmp_path / "report", facts=FactSource(constants={"view_position": "XCCL"}))


def test_files_that_cannot_be_read_are_never_passed_over(others, store, tmp_path):
    folder = _pngs(others, tmp_path / "png", store, views=("CC",))
    with pytest.raises(Refused, match=r"10 of 20 files .* view is not CC or MLO"):
        evaluate(folder, store, tmp_path / "report", facts=FactSource(folder / "facts.csv"))


# ----------------------------------------------------------------------------------------------------------------------
# Held-out patients.


def test_held_out_patients_that_were_trained_on_are_refused(store, cohort, tmp_path):
    again = prepare(cohort, Mammogram(shape=(80, 64)), tmp_path / "again", workers=0)
    train = select_real_images(store, "train", (80, 64))
    with pytest.raises(Refused, match=r"share \d+ patients with the training set"):
        check_disjoint(select_real_images(again, "train", (80, 64)), train)
    renamed = [{**case, "patient": f"other {i}"} for i, case in enumerate(train.cases)]
    with pytest.raises(Refused, match="under the name of another patient"):
        check_disjoint(train.select_cases(renamed), train)


@pytest.mark.slow
def test_another_store_can_be_held_out(run, store, others, tmp_path):
    folder = _pngs(others, tmp_path / "png", store)  # its table gives the patients names of their own
    held_out = prepare(
        folder, Mammogram(FactSource(folder / "facts.csv"), shape=(80, 64)), tmp_path / "other", workers=0
    )
    shape = open_snapshot(run.list_snapshots()[-1]).recipe.shape
    content = evaluate(run.path, out=tmp_path / "report", held_out=held_out.path)
    assert content["compared"]["images_a_side"] == 20
    assert content["compared"]["real_split"] == "all of another store"
    assert tuple(shape) in held_out.manifest.levels
    with pytest.raises(Refused, match=r"share \d+ patients"):
        evaluate(run.path, out=tmp_path / "report2", held_out=store.path)


def test_a_store_in_which_a_patient_is_in_two_splits_is_refused(run, store, tmp_path):
    cases = [dict(case) for case in store.cases]
    next(case for case in cases if case["split"] == "test")["patient"] = store.split("train")[0]["patient"]
    with pytest.raises(Refused, match="share 1 patients"):
        evaluate(run.path, replace(store, cases=cases), tmp_path / "report")


# ----------------------------------------------------------------------------------------------------------------------
# The audit decides what is exported.


def test_copies_fail_the_audit_and_are_not_exported(store, run, tmp_path, capsys):
    """Samples that are training images, written as a copying model would have written them."""
    snapshot = open_snapshot(run.list_snapshots()[-1])
    train = select_real_images(store, "train", tuple(snapshot.recipe.shape))
    drawn = sample(snapshot, len(train), 5, [{k: f[k] for k in ("view_position", "laterality")} for f in train.facts()])
    copies = ((image.copy_with(pixels=train[i]), record) for i, (image, record) in enumerate(drawn))
    folder = tmp_path / "samples"
    write_samples(copies, len(train), snapshot.modality, folder, "png")
    content = evaluate(folder, store, tmp_path / "report")
    assert not content["privacy"]["passed"]
    assert "Signs of copied training images" in content["privacy"]["verdict"]
    assert main(["export", str(folder), "--to", "npy", "--out", str(tmp_path / "out")]) == 2
    assert "failed the privacy audit" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    word = ["export", str(folder), "--to", "npy", "--out", str(tmp_path / "out"), "--despite-audit"]
    assert main(word) == 0
    rows = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
    (folder / "samples.jsonl").write_text("".join(rows[:-1]))
    assert main(["export", str(folder), "--to", "npy", "--out", str(tmp_path / "out2")]) == 0
    assert "has changed since it was audited" in capsys.readouterr().out
    assert (folder / AUDIT_FILE).exists()


@pytest.mark.ci
def test_suspects_are_listed_and_can_be_left_out(store, run, tmp_path, capsys):
    """Two training images among samples: the table names them, and the export goes on without them."""
    snapshot = open_snapshot(run.list_snapshots()[-1])
    train = select_real_images(store, "train", tuple(snapshot.recipe.shape))
    asked = [{k: f[k] for k in ("view_position", "laterality")} for f in train.facts()]
    drawn = sample(snapshot, len(train), 5, asked)
    mixed = ((image.copy_with(pixels=train[i]) if i in (1, 6) else image, rec) for i, (image, rec) in enumerate(drawn))
    folder = tmp_path / "samples"
    write_samples(mixed, len(train), snapshot.modality, folder, "png")
    evaluate(folder, store, tmp_path / "report")
    with (tmp_path / "report" / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {int(row["index"]): int(row["training_row"]) for row in rows}
    assert found == {1: train.cases[1]["row"], 6: train.cases[6]["row"]}
    assert all(float(row["ratio"]) < 0.2 for row in rows)
    out = tmp_path / "out"
    assert main(["export", str(folder), "--to", "npy", "--out", str(out), "--without-suspects"]) == 0
    assert f"2 of {len(train)} samples are left out" in capsys.readouterr().out
    left = {json.loads(line)["record"]["index"] for line in (out / "samples.jsonl").read_text().splitlines()}
    assert left == set(range(len(train))) - {1, 6}
    (folder / AUDIT_FILE).unlink()
    words = ["export", str(folder), "--to", "npy", "--out", str(tmp_path / "out2"), "--without-suspects"]
    assert main(words) == 2
    assert "were not audited" in capsys.readouterr().err
