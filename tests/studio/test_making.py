"""What the studio makes: steered samples that can be made again, decisions that `export` takes, and plans."""

import io
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image as Pillow
from studios import decode

import ganatomy
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.library.plan import ask_memory
from ganatomy.studio.maker import Maker, ReplacedError

HERE = {"seed": 3, "number": 2}


@pytest.fixture(scope="module")
def samples(run, tmp_path_factory):
    return ganatomy.sample(run.path, 6, seed=3, out=tmp_path_factory.mktemp("samples") / "png").path


# ----------------------------------------------------------------------------------------------------------------------
# The queue.


def test_a_newer_position_replaces_one_that_waits_and_nothing_else():
    maker, may_end, done = Maker(), threading.Event(), []
    workers = [threading.Thread(target=maker.do, args=(may_end.wait,))]
    workers[0].start()
    time.sleep(0.1)

    def ask(name, lane):
        try:
            done.append(maker.do(lambda: name, lane))
        except ReplacedError:
            done.append(f"{name} replaced")

    for name, lane in (("first", "draft"), ("image", "image"), ("second", "draft"), ("third", "draft"), ("save", None)):
        workers.append(threading.Thread(target=ask, args=(name, lane)))
        workers[-1].start()
        time.sleep(0.05)
    may_end.set()
    for worker in workers:
        worker.join(10)
    assert sorted(done) == ["first replaced", "image", "save", "second replaced", "third"]
    with pytest.raises(ZeroDivisionError):  # an error is that of the caller, and the maker goes on
        maker.do(lambda: 1 / 0)
    assert maker.do(lambda: 7) == 7


# ----------------------------------------------------------------------------------------------------------------------
# Steering.


def test_a_sample_that_was_not_moved_is_that_of_sample(studio, run):
    client, _ = studio(run.path)
    header, values, _ = decode(client.post("api/steer/draw", json={"position": HERE}).content)
    image, record = next(ganatomy.sample(run.path, 1, seed=3, first=2))
    expected = np.round(image.values * 65535)
    assert np.array_equal(values, expected.astype(np.uint16))
    assert header["record"] == record
    assert header["measures"]


def test_a_draft_of_a_volume_is_its_low_resolution_head(studio, hagan):
    client, _ = studio(hagan.path)
    draft, *_ = decode(client.post("api/steer/draw", json={"position": HERE, "draft": True}).content)
    whole, *_ = decode(client.post("api/steer/draw", json={"position": HERE}).content)
    assert draft["draft"]
    assert draft["shape"] == [8, 8, 8]
    assert whole["shape"] == [32, 32, 32]
    assert np.allclose(np.multiply(draft["shape"], draft["spacing"]), np.multiply(whole["shape"], whole["spacing"]))


def test_moved_samples_are_written_and_made_again(studio, run, tmp_path, capsys):
    client, _ = studio(run.path)
    found = client.post("api/steer/directions", json={}).json()
    name = max(found, key=lambda one: one["r2"])["name"]
    moved = HERE | {"moves": {name: 2.5}}
    positions = [HERE, moved, HERE | {"moves": {name: -2.5}}]
    shown = [decode(client.post("api/steer/draw", json={"position": one}).content)[1] for one in positions]
    assert not np.array_equal(shown[0], shown[1])
    told = client.post("api/steer/write", json={"positions": positions, "name": "liked", "to": "png"}).json()
    assert told == {"images": 3, "folder": str(tmp_path / "out" / "liked")}
    written = ganatomy.open(told["folder"])
    for values, image in zip(shown, written, strict=True):
        assert np.array_equal(values, np.round(image.values * 65535).astype(np.uint16))
    assert main(["verify", told["folder"], "--snapshot", str(run.path)]) == 0
    assert "equal" in capsys.readouterr().out
    model = ganatomy.open(run.path)
    assert np.array_equal(
        model.regenerate(written[1].provenance).pixels, model.regenerate(written[1].provenance).pixels
    )
    again = client.post("api/steer/write", json={"positions": positions, "name": "liked", "to": "png"})
    assert "not empty" in again.json()["problem"]


@pytest.mark.parametrize("name", ["../liked", "/etc/x", "", ".hidden", "a/b", "a\\b"])
def test_lists_are_written_below_the_folder_of_the_studio_only(studio, run, tmp_path, name):
    client, _ = studio(run.path)
    answer = client.post("api/steer/write", json={"positions": [HERE], "name": name, "to": "png"})
    assert "is not the name of a folder" in answer.json()["problem"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("position", "words"),
    [
        ({"seed": -1}, "not what the page sends"),
        ({"facts": {"view_position": "AP"}}, "view_position"),
        ({"moves": {"charm": 1}}, "There is no direction 'charm'"),
        ({"moves": {"component 1": 99}}, "not what the page sends"),
    ],
)
def test_wrong_positions_are_refused_in_a_sentence(studio, run, position, words):
    client, _ = studio(run.path)
    answer = client.post("api/steer/draw", json={"position": position})
    assert answer.status_code == 400
    assert words in answer.json()["problem"]


# ----------------------------------------------------------------------------------------------------------------------
# Curating.


def test_decisions_are_written_at_once_and_taken_by_export(studio, samples, store, tmp_path, capsys):
    client, _ = studio(samples, store.path)
    about = client.get("api/curate").json()
    measured = client.post("api/curate/measure", json={}).json()["measures"]
    assert {"score for artefacts", "likeness of the nearest training image"} <= set(measured[0])
    for name, words in (("0.png", "SYNTHETIC"), ("0/nearest.png", "A training image")):
        with Pillow.open(io.BytesIO(client.get(f"api/curate/{name}").content)) as picture:
            assert words in picture.info["Comment"]
    names = [item["name"] for item in about["items"]]
    for name, decision in zip(names, ("accept", "reject", "accept", "accept"), strict=False):
        client.post("api/curate/decide", json={"name": name, "decision": decision})
    counts = client.post("api/curate/decide", json={"name": names[3], "decision": None}).json()
    assert counts == {"accept": 2, "reject": 1}
    file = tmp_path / "out" / f"{samples.name}-decisions.json"
    assert json.loads(file.read_text())["decisions"] == {names[0]: "accept", names[1]: "reject", names[2]: "accept"}
    other, _ = studio(samples)  # a later studio goes on with them
    assert [item["decision"] for item in other.get("api/curate").json()["items"]][:3] == ["accept", "reject", "accept"]
    assert main(["export", str(samples), "--only", str(file), "--to", "npy", "--out", str(tmp_path / "npy")]) == 0
    assert "2 of 6 samples were accepted" in capsys.readouterr().out
    assert sorted(path.stem for path in (tmp_path / "npy").glob("*.npy")) == [names[0][:-4], names[2][:-4]]


def test_decisions_about_other_samples_are_refused(samples, run, tmp_path):
    others = ganatomy.sample(run.path, 4, seed=9, out=tmp_path / "others")
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps({"format": 1, "index_sha256": "0" * 64, "decisions": {}}))
    with pytest.raises(Refused, match="about other samples"):
        ganatomy.export(others, tmp_path / "x", only=file, to="npy")
    file.write_text(json.dumps({"decisions": {"a": "perhaps"}}))
    with pytest.raises(Refused, match="has no decisions about samples"):
        ganatomy.export(others, tmp_path / "x", only=file, to="npy")


def test_a_decision_about_no_sample_is_refused(studio, samples, tmp_path):
    client, _ = studio(samples)
    answer = client.post("api/curate/decide", json={"name": "../key.json", "decision": "accept"})
    assert "has no sample" in answer.json()["problem"]
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------------------------------------------------------
# Planning.


def test_a_plan_is_that_of_the_command(studio, samples):
    client, _ = studio(samples)
    answer = client.post("api/plan/ask", json={"recipe": "pggan-mammogram", "memory_gb": 8, "shape": "40,32"}).json()
    assert answer["training_bytes"] == sum(answer["training_parts"].values())
    assert answer["training_fits"]
    assert answer["memory_bytes"] == ask_memory("pggan-mammogram", "8GB").bytes
    assert "no recipe" in client.post("api/plan/ask", json={"recipe": "x", "memory_gb": 8}).json()["problem"].lower()
    assert "memory_gb" in client.post("api/plan/ask", json={"recipe": "hagan", "memory_gb": 0}).json()["problem"]
