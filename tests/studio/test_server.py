"""The studio's server: who is let in, what it reads, and that its pixels are those of `sample`."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image as Pillow
from studios import decode

import ganatomy
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.imaging.nifti import read_nifti
from ganatomy.machine.places import get_lock_file, hold_lock
from ganatomy.studio.serve import open_studio
from ganatomy.studio.subject import open_subject


@pytest.fixture(scope="module")
def pictures(run, tmp_path_factory):
    return ganatomy.sample(run.path, 4, seed=3, out=tmp_path_factory.mktemp("samples") / "png").path


# ----------------------------------------------------------------------------------------------------------------------
# Who is let in.


def test_a_page_has_a_strict_policy_and_no_inline_script(studio, run):
    client, _ = studio(run.path)
    for name in ("watch", "look", "steer"):
        answer = client.get(name)
        assert answer.status_code == 200, name
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "style=" not in answer.text
        assert "<style" not in answer.text
        assert answer.text.count("<script") == answer.text.count('<script type="module" src=') == 1
        assert answer.headers["cache-control"] == "no-store"
    assert client.get("").headers["location"] == "watch"


def test_other_hosts_origins_and_tokens_are_refused(studio, run):
    client, opened = studio(run.path)
    root = opened.address.rsplit("/", 2)[0]
    assert client.get(f"{root}/watch").status_code == 404
    assert client.get(f"{root}/{'x' * 22}/watch").status_code == 404
    assert client.get("watch", headers={"Host": f"evil.example:{client.base_url.port}"}).status_code == 403
    assert client.get("watch", headers={"Host": "127.0.0.1:1"}).status_code == 403
    for origin in ("http://evil.example", "null", root.replace("127.0.0.1", "127.0.0.2")):
        answer = client.post("api/runs/0/stop", json={}, headers={"Origin": origin})
        assert answer.status_code == 403
        assert "another page" in answer.text
    assert (
        client.post("api/runs/0/stop", json={}, headers={"Origin": root}).status_code == 400
    )  # let in, and not running


@pytest.mark.parametrize(
    "path", ["static/../app.py", "static/%2e%2e/app.py", "static//etc/passwd", "api/runs/0/grids/../recipe.json"]
)
def test_paths_outside_what_was_opened_are_refused(studio, run, path):
    client, opened = studio(run.path)
    scope_path = f"/{opened.address.split('/')[3]}/{path}"
    answer = client.request("GET", scope_path)
    assert answer.status_code in (400, 404)
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_two_studios_on_one_port_and_an_unknown_host(studio, run):
    _, opened = studio(run.path)
    port = int(opened.address.split(":")[2].split("/")[0])
    with pytest.raises(Refused, match=f"--port {port}: .*give another --port"):
        open_studio(open_subject([run.path], run.path), port=port)
    with pytest.raises(Refused, match="cannot be used"):
        open_studio(open_subject([run.path], run.path), host="203.0.113.7")


def test_the_command_says_what_it_would_show_and_refuses_what_it_does_not_know(run, tmp_path, capsys):
    assert main(["studio", str(run.path), "--dry-run"]) == 0
    assert run.path.name in capsys.readouterr().out
    assert main(["studio", str(tmp_path), "--dry-run"]) == 2
    assert "give the path of" in capsys.readouterr().err


def test_without_the_extra_the_command_says_what_to_install(run, monkeypatch, capsys):
    for name in [*sys.modules]:
        if name.partition(".")[0] == "starlette" or name.startswith("ganatomy.studio"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(ganatomy.studio, "serve", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["studio", str(run.path), "--no-browser"]) == 2
    assert "pip install 'ganatomy[studio]'" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------------------
# Runs.


def test_the_log_is_read_in_parts_while_it_is_written(studio, run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / run.path.name)
    log = copy / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:3]) + lines[3][:10])  # as a training leaves it in the middle of a write
    client, _ = studio(copy)
    first = client.get("api/runs/0/log").json()
    assert [tick["images"] for tick in first["ticks"]] == [json.loads(line)["images"] for line in lines[:3]]
    log.write_bytes(b"".join(lines))
    rest = client.get(f"api/runs/0/log?start={first['end']}").json()
    assert len(first["ticks"]) + len(rest["ticks"]) == len(lines)
    log.write_bytes(b"".join(lines[:1]))  # the training was resumed from an earlier checkpoint
    anew = client.get(f"api/runs/0/log?start={rest['end']}").json()
    assert anew["begun_anew"]
    assert len(anew["ticks"]) == 1
    assert client.get("api/runs/0/log?start=x").status_code == 400
    assert client.get("api/runs/7/log").json()["problem"] == "There are 1 runs, and no run number 7."


def test_an_empty_run_and_one_of_another_version_are_watched_all_the_same(studio, run, tmp_path):
    empty, other = tmp_path / "00000-empty", tmp_path / "00001-other"
    for folder in (empty, other):
        folder.mkdir()
        shutil.copy(run.path / "recipe.json", folder)
    recipe = json.loads((other / "recipe.json").read_text())
    (other / "recipe.json").write_text(json.dumps({**recipe, "from_the_future": 1}))
    client, _ = studio(tmp_path)
    told = client.get("api/runs").json()
    assert told[0]["problem"] is None
    assert told[0]["grids"] == []
    assert "not a recipe of this version" in told[1]["problem"]
    assert client.get("api/runs/0/log").json()["ticks"] == []
    page, _ = studio(empty)
    assert "neither a snapshot nor a run with snapshots" in page.get("watch").text  # said, and the run is watched
    assert page.get("steer").status_code == 404


def test_grids_are_files_of_the_run(studio, run):
    client, _ = studio(run.path)
    grids = client.get("api/runs").json()[0]["grids"]
    assert (
        client.get(f"api/runs/0/grids/{grids[-1]}.png").content
        == (run.path / "fakes" / f"{grids[-1]:09d}.png").read_bytes()
    )
    assert client.get("api/runs/0/grids/1.png").status_code == 400


def test_stop_asks_only_a_run_that_is_trained(studio, run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / run.path.name)
    client, _ = studio(copy)
    assert "not being trained" in client.post("api/runs/0/stop", json={}).json()["problem"]
    assert not (copy / "stop").exists()
    with hold_lock(get_lock_file(copy), "held"):
        assert client.get("api/runs").json()[0]["training"]
        assert "with a checkpoint" in client.post("api/runs/0/stop", json={}).json()["told"]
    assert (copy / "stop").exists()
    assert not client.get("api/runs").json()[0]["training"]


# ----------------------------------------------------------------------------------------------------------------------
# Images.


def test_the_pixels_of_samples_are_those_of_the_files(studio, run, pictures):
    client, _ = studio(pictures, run.path)
    shelves = client.get("api/shelves").json()
    assert [len(shelf["items"]) for shelf in shelves] == [4, 64]
    for place, row in enumerate(ganatomy.open(pictures).rows):
        header, values, _ = decode(client.get(f"api/shelves/0/{place}").content)
        with Pillow.open(pictures / row["file"]) as picture:
            assert np.array_equal(values, np.asarray(picture))
        assert header["type"] == "uint16"
        assert header["record"]["index"] == place
    assert "no image number 4" in client.get("api/shelves/0/4").json()["problem"]


def test_the_pixels_of_a_model_are_those_of_sample(studio, hagan, tmp_path):
    client, _ = studio(hagan.path)
    samples = ganatomy.sample(hagan.path, 2, seed=0, out=tmp_path / "nifti")
    for place, row in enumerate(samples.rows):
        header, values, _ = decode(client.get(f"api/shelves/0/{place}").content)
        stored = read_nifti(samples.path / row["file"])[0]
        assert np.array_equal(values * header["slope"], stored)
        assert header["unit"] == "HU"
        assert set(header["windows"]) == {"lung", "mediastinum", "bone"}
        assert header["spacing"] == list(samples[place].spacing)


def test_a_store_shows_its_splits_without_names_of_files(studio, store):
    client, _ = studio(store.path)
    shelves = client.get("api/shelves").json()
    assert {shelf["title"].split()[0] for shelf in shelves} == {"Train", "Validation", "Test"}
    assert shelves[0]["warning"].startswith("Phantoms")
    header, values, _ = decode(client.get("api/shelves/0/0").content)
    assert values.shape == (80, 64)
    assert "file" not in header
    assert not header["record"]
