"""Files that somebody has edited: a sentence that names them, never a traceback."""

import json
import shutil
import socket

import pytest
from cohorts import mammograms

from ganatomy.cli import main
from ganatomy.data.samples import INDEX_FILE, read_samples
from ganatomy.data.store import open_store
from ganatomy.errors import Refused
from ganatomy.recipes import get_recipe
from ganatomy.training import run as runs
from ganatomy.training.log import Log
from ganatomy.training.tracking.table import make_trackers
from ganatomy.training.train import train


@pytest.fixture
def samples(tmp_path):
    return mammograms(tmp_path / "samples")


def edit_rows(folder, change):
    rows = [json.loads(line) for line in (folder / INDEX_FILE).read_text().splitlines()]
    change(rows)
    (folder / INDEX_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1]["record"].update(index=0), "line 2 of .* is a second sample of seed 0 and number 0"),
        (lambda rows: rows.append(rows[0]), "line 5 of .* is a second sample"),
        (lambda rows: rows[0].update(file="../secret.png"), "line 1 .*a file lies in the folder of its index"),
        (lambda rows: rows[0].update(file="/etc/a.png"), "a file lies in the folder of its index"),
        (lambda rows: rows[0].update(file=7), "line 1 .*file"),
        (lambda rows: rows[2].update(spacing=[0, 1]), "line 3 .*spacing"),
        (lambda rows: rows[0].update(spacing="wide"), "spacing"),
        (lambda rows: rows[0].pop("record"), "record"),
        (lambda rows: rows[0]["record"].update(seed="a"), "seed"),
        (lambda rows: rows[0].update(facts=[1]), "facts"),
        (lambda rows: rows.clear(), "is empty"),
    ],
)
def test_an_edited_index_of_samples_is_a_sentence(samples, tmp_path, change, words, capsys):
    edit_rows(samples, change)
    with pytest.raises(Refused, match=words):
        read_samples(samples)
    assert main(["export", str(samples), "--out", str(tmp_path / "out")]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{}", "[" * 100_000, "\xff"])
def test_an_edited_audit_is_a_sentence(samples, text, tmp_path):
    (samples / "audit.json").write_bytes(text.encode("latin-1"))
    assert main(["export", str(samples), "--out", str(tmp_path / "out")]) == (0 if text == "{}" else 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z.update(shape=[10**15, 40, 32]),
        lambda z: z.update(shape="large"),
        lambda z: z.update(shape=[40, 40, 32, 1]),
        lambda z: z.update(data_type="float64"),
        lambda z: z.update(data_type=7),
        lambda z: z.update(codecs=[]),
        lambda z: z.update(codecs=[{"name": "unknown"}]),
        lambda z: z["chunk_grid"]["configuration"].update(chunk_shape=[10**12, 40, 32]),
        lambda z: z.clear(),
    ],
)
def test_an_edited_array_of_a_store_is_a_sentence(store, tmp_path, change):
    folder = shutil.copytree(store.path, tmp_path / "store")
    file = folder / "arrays" / "40x32" / "zarr.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(Refused, match=r"damaged.*prepare it again"):
        open_store(folder).read([0], (40, 32))
    recipe = get_recipe("pggan-mammogram").make_tiny()
    with pytest.raises(Refused, match=r"damaged.*prepare it again"):
        train(recipe, folder, tmp_path / "runs")


@pytest.mark.parametrize("spoilt", ["[" * 100_000, "{", "", "null", "\0"])
@pytest.mark.parametrize("name", ["recipe.json", "environment.json", "store.json"])
def test_a_neighbour_that_cannot_be_read_is_left_alone(name, spoilt, store, run, tmp_path):
    beside = shutil.copytree(run.path, tmp_path / "00000-pggan-mammogram")
    (beside / name).write_text(spoilt)
    recipe = get_recipe("pggan-mammogram").make_tiny()
    with runs.hold_run(tmp_path, recipe, store, 0) as made:
        assert made.path.name == "00001-pggan-mammogram"


def test_a_neighbour_whose_folder_may_not_be_entered_is_left_alone(store, tmp_path, monkeypatch):
    from pathlib import Path

    (tmp_path / "00000-closed").mkdir()
    exists = Path.exists

    def may_not(path):
        if path.parent.name == "00000-closed":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", may_not)
    assert runs.find_run(tmp_path, get_recipe("pggan-mammogram").make_tiny(), store, 0) is None


def test_settings_of_a_run_that_were_changed_are_a_sentence(store, run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / run.path.name)
    environment = json.loads((copy / "environment.json").read_text())
    (copy / "environment.json").write_text(json.dumps(environment | {"computing": {"precision": "float7"}}))
    with pytest.raises(Refused, match=r"environment\.json was changed"):
        train(run.recipe, store, tmp_path)


def test_a_log_goes_on_after_what_can_be_read_of_it(tmp_path):
    good = '{"images": 16}\n'
    (tmp_path / "log.jsonl").write_bytes(good.encode() + b"\xff{\n[]\n{}\n" + b'{"images": 99}\n{"ima')
    log = Log(tmp_path, 32)
    log.write_scalars(32, {"loss": 1.0})
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [16, 32]


def test_a_run_does_not_name_its_machine_and_tensorboard_reads_it(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    import numpy as np

    for start in (0, 32):  # the second goes on from 32 and drops what the first wrote for 48
        log = Log(tmp_path, start, make_trackers(None))
        for images in (start + 16, start + 32, start + 48):
            log.write_scalars(images, {"loss": float(images + start)})
        log.write_picture(start + 16, "fakes", np.zeros((4, 4), np.uint8))
        log.close()
    files = list((tmp_path / "tensorboard").iterdir())
    assert not [file for file in files if socket.gethostname() in file.name]
    told = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    told.Reload()
    assert [one.step for one in told.Scalars("loss")] == [16, 48, 64, 80]
    assert len(told.Images("fakes")) == 2
