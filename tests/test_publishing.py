"""Bundles: they serve like a run, hold nothing else, a changed byte is seen, and the card says what is known."""

import json
import re
import shutil
import socket
import zipfile

import numpy as np
import pydicom
import pytest
import torch

from ganatomy.checkpoint import find_snapshot, load_tensors, open_snapshot, save_weights
from ganatomy.cli import main
from ganatomy.data.prepare import prepare
from ganatomy.errors import Refused
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.exporting import publish as publishing
from ganatomy.exporting.checklist import ITEMS
from ganatomy.exporting.publish import publish
from ganatomy.exporting.write_card import write_card
from ganatomy.machine.sealed_zip import LABEL, check_sealed_zip, write_sealed_zip
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.sampling import sample
from ganatomy.training.train import train

MEMBERS = {"bundle.json", "snapshot/meta.json", "MODEL_CARD.md", "card.json", "examples.png", "SHA256SUMS"}
GENERATOR = "snapshot/generator.safetensors"
MARK = "ZEBRAMARK"


@pytest.fixture(scope="module")
def encoding(volumes, tmp_path_factory):
    """A short run of `hagan-2022`, which has a discriminator and two encoders."""
    recipe = change_recipe(get_recipe("hagan-2022").make_tiny(), {"total_kimg": 0.008})
    return train(recipe, volumes, tmp_path_factory.mktemp("encoding"))


@pytest.fixture(scope="module")
def bundle(encoding, tmp_path_factory):
    return publish(encoding.path, tmp_path_factory.mktemp("bundle") / "model.zip", unaudited=True)


@pytest.fixture(scope="module")
def report(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "report"
    return folder, evaluate(run.path, out=folder)


def test_it_holds_generator_encoders_card_and_examples_and_nothing_else(bundle):
    with zipfile.ZipFile(bundle) as archive:
        encoders = {f"snapshot/{role}.safetensors" for role in ("high_encoder", "ground_encoder")}
        assert set(archive.namelist()) == MEMBERS | encoders | {GENERATOR}
        sums = dict(reversed(line.split("  ")) for line in archive.read("SHA256SUMS").decode().splitlines())
    assert set(sums) == MEMBERS - {"SHA256SUMS"} | encoders | {GENERATOR}


def test_the_same_model_makes_the_same_file(bundle, encoding, tmp_path):
    again = publish(encoding.path, tmp_path / "again.zip", unaudited=True)
    assert again.read_bytes() == bundle.read_bytes()
    assert publish(bundle, tmp_path / "third.zip", unaudited=True).read_bytes() == bundle.read_bytes()


def test_a_bundle_serves_wherever_a_run_does(bundle, encoding, volumes, tmp_path, capsys):
    model, original = (open_snapshot(find_snapshot(path)) for path in (bundle, encoding.path))
    assert model.digest == original.digest
    (mine, _), (theirs, _) = (next(sample(one, 1, 3)) for one in (model, original))
    np.testing.assert_array_equal(mine.pixels, theirs.pixels)
    for line in (
        f"sample {bundle} --n 2 --to dicom --out {tmp_path / 'dicom'}",
        f"verify {tmp_path / 'dicom'} --snapshot {bundle}",
        f"encode {bundle} {volumes.path} --split test --out {tmp_path / 'features.csv'}",
        f"explore {bundle} --attribute component_1 --n 20 --walks 1 --steps 2 --out {tmp_path / 'walk'}",
        f"train hagan-2022 {volumes.path} --tiny --set total_kimg=0.004 --from {bundle} --out {tmp_path / 'runs'}",
    ):
        assert main(line.split()) == 0, capsys.readouterr().err
    told = json.loads((tmp_path / "runs" / "00000-hagan-2022" / "environment.json").read_text())
    assert told["began_from"]["snapshot_sha256"] == original.digest
    assert main(f"evaluate {bundle} --out {tmp_path / 'x'}".split()) == 2
    assert "give the store of real images as well" in capsys.readouterr().err
    assert main(f"evaluate {bundle} {volumes.path} --out {tmp_path / 'x'}".split()) == 2
    assert "2 images on each side are too few" in capsys.readouterr().err  # it was opened and has drawn its samples


@pytest.mark.ci
def test_a_changed_byte_anywhere_is_seen(bundle, tmp_path):
    content, changed = bytearray(bundle.read_bytes()), tmp_path / "changed.zip"
    for place in [*range(0, len(content), len(content) // 60), *range(len(content) - 120, len(content), 7)]:
        content[place] ^= 1
        changed.write_bytes(content)
        content[place] ^= 1
        with pytest.raises(Refused, match="is not a bundle"):
            find_snapshot(changed)
    changed.write_bytes(content[:-1])
    with pytest.raises(Refused, match="is not a bundle"):
        find_snapshot(changed)


def test_a_file_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("bundle.json", "{}")
    for name, words in (("x.zip", "it is not a zip file"), ("y.zip", "or was changed since")):
        assert main(f"sample {tmp_path / name} --out {tmp_path / 'out'}".split()) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_members_that_would_leave_the_folder_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a")
    write_sealed_zip(tmp_path / "x.zip", tmp_path / "in")
    check_sealed_zip(tmp_path / "x.zip", "bundle")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        archive.writestr("../a", "a")
        archive.comment = LABEL + b"0" * 64
    from ganatomy.machine import sealed_zip

    content = (tmp_path / "y.zip").read_bytes()
    digest = sealed_zip._hash_beginning(tmp_path / "y.zip", len(content) - 64)
    (tmp_path / "y.zip").write_bytes(content[:-64] + digest)
    with pytest.raises(Refused, match=r"it contains '../a', which ganatomy never writes"):
        check_sealed_zip(tmp_path / "y.zip", "bundle")


def test_a_bundle_of_a_newer_version_is_refused(encoding, tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "BUNDLE_FORMAT", 2)
    newer = publish(encoding.path, tmp_path / "newer.zip", unaudited=True)
    with pytest.raises(Refused, match="is a bundle of format 2 and this version reads up to 1; update ganatomy"):
        find_snapshot(newer)


def test_the_audit_decides(run, report, tmp_path, capsys):
    folder, content = report
    with pytest.raises(Refused, match=r"No privacy audit of .* is given; evaluate it and give --report REPORT"):
        publish(run.path, tmp_path / "x.zip")
    content["privacy"]["passed"] = False
    shutil.copytree(folder, tmp_path / "failed")
    (tmp_path / "failed" / "report.json").write_text(json.dumps(content))
    with pytest.raises(Refused, match="The privacy audit failed"):
        publish(run.path, tmp_path / "x.zip", tmp_path / "failed")
    assert not (tmp_path / "x.zip").exists()
    publish(run.path, tmp_path / "x.zip", tmp_path / "failed", unaudited=True)
    assert "FAILED. " in zipfile.ZipFile(tmp_path / "x.zip").read("MODEL_CARD.md").decode()
    publish(run.path, tmp_path / "y.zip", unaudited=True)
    assert "No privacy audit was made" in zipfile.ZipFile(tmp_path / "y.zip").read("MODEL_CARD.md").decode()


def test_a_report_of_another_model_is_refused(encoding, report, tmp_path):
    with pytest.raises(Refused, match="is no report of the snapshot"):
        publish(encoding.path, tmp_path / "x.zip", report[0])


def test_the_card_has_the_numbers_of_the_report(run, report, store, tmp_path):
    folder, content = report
    content["privacy"]["passed"] = True
    shutil.copytree(folder, tmp_path / "report")
    (tmp_path / "report" / "report.json").write_text(json.dumps(content))
    line = f"publish {run.path} --report {tmp_path / 'report'} --licence CC-BY-4.0 --data-licence CC0"
    assert main([*line.split(), "--out", str(tmp_path / "x.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        card, page = json.loads(archive.read("card.json")), archive.read("MODEL_CARD.md").decode()
    assert card["licence"] == {"weights": "CC-BY-4.0", "training_data": "CC0"}
    assert card["training"]["data"]["patients"] == store.manifest.patients
    assert card["metrics"]["scores"][0]["value"] == content["swd"]["fake"]["average"]
    assert len(card["metrics"]["scores"]) == 1 + len(content["scores"])
    privacy = content["privacy"]
    assert card["audit"] == {"passed": True, "verdict": privacy["verdict"], "power": privacy["power"]}
    assert f"{privacy['power'][0]['copies']} planted copies among {privacy['power'][0]['of']} images" in page
    assert f"| SWD x 1000 | {content['swd']['fake']['average']:.4g} |" in page
    assert "view_position: CC, MLO" in page


SEVEN = ("congruence", "coverage", "constraint", "completeness", "compliance", "comprehension", "consistency")


def test_the_seven_questions_are_answered_by_the_report_or_open(run, report, tmp_path):
    publish(run.path, tmp_path / "x.zip", report[0], unaudited=True)
    publish(run.path, tmp_path / "y.zip", unaudited=True)
    known, unknown = (
        json.loads(zipfile.ZipFile(tmp_path / name).read("card.json"))["scorecard"] for name in ("x.zip", "y.zip")
    )
    assert tuple(known) == tuple(unknown) == SEVEN
    assert all(answer["found"] for answer in known.values())
    swd = report[1]["swd"]
    words = f"SWD x 1000 {swd['fake']['average']:.4g}, real against real {swd['real_floor']['average']:.4g}"
    assert known["congruence"]["found"][0] == words
    assert any(words.startswith("Vendi score") for words in known["coverage"]["found"])
    assert any(words.startswith("breast area") for words in known["constraint"]["found"])
    assert any(words.startswith("view_position: found in") for words in known["consistency"]["found"])
    for name in ("congruence", "coverage", "constraint", "comprehension"):
        assert not unknown[name]["found"]
        assert "not measured" in unknown[name]["open"]
    assert "a privacy audit" in unknown["compliance"]["open"]
    assert "a privacy audit" not in known["compliance"]["open"]


def test_every_item_of_the_checklist_has_an_answer_or_is_open(run, report, tmp_path):
    publish(run.path, tmp_path / "x.zip", report[0], unaudited=True)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        card, page = json.loads(archive.read("card.json")), archive.read("MODEL_CARD.md").decode()
    known, about = card["checklist"], json.loads((run.path / "environment.json").read_text())
    assert list(known) == list(ITEMS)
    assert all(answer["found"] or answer["open"] for answer in known.values())
    for part in ("Study design", "Resources", "Evaluation", "Examination", "Reproducibility"):
        assert f"\n### {part}\n" in page
    patients = report[1]["compared"]["patients"]
    assert (
        f"{report[1]['compared']['images_a_side']} images a side, {patients} held-out patients"
        in (known["measures"]["found"][1])
    )
    assert any(verdict["reason"] in " ".join(known["comparison"]["found"]) for verdict in report[1]["verdicts"])
    compute = " ".join(known["hyperparameters and compute"]["found"])
    assert f"torch {about['packages']['torch']}" in compute
    assert "on cpu, processes: 1" in compute
    data = card["training"]["data"]
    assert f"{data['cases']} images of {data['patients']} patients" in known["cohort selection"]["found"][0]
    assert report[1]["privacy"]["verdict"] in known["bias, privacy and harm"]["found"]
    assert "not known" not in str(known["independence"])
    unknown = write_card(run.path, tmp_path / "card")["checklist"]
    for name in ("baseline", "comparison", "measures", "errors"):
        assert not unknown[name]["found"]
        assert unknown[name]["open"]


def test_a_card_without_a_bundle(run, report, tmp_path, capsys):
    out = tmp_path / "card"
    assert main(f"card {run.path} --out {out} --licence CC0 --dry-run".split()) == 0
    assert not out.exists()
    assert main(f"card {run.path} --out {out}".split()) == 0
    assert "No privacy audit was made" in (out / "MODEL_CARD.md").read_text()
    assert main(f"card {run.path} --report {report[0]} --licence CC0 --out {out}".split()) == 0
    assert "of 23 items of MI-CLAIM-GEN name what is open" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"MODEL_CARD.md", "card.json"}
    publish(run.path, tmp_path / "x.zip", report[0], unaudited=True, licence="CC0")
    card = json.loads((out / "card.json").read_text())
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        bundled = json.loads(archive.read("card.json"))
    networks = [name for name in card if card[name] != bundled[name]]
    assert networks == ["networks", "checklist"]  # the bundle hands on fewer of them
    assert set(card["networks"]) > set(bundled["networks"])
    again = write_card(tmp_path / "x.zip", tmp_path / "again", report[0], licence="CC0")
    assert again == bundled


@pytest.mark.parametrize(
    ("flags", "words"), [("{run} --report {new}", "cannot be read"), ("{new}", "is neither a snapshot nor a run")]
)
def test_mistakes_of_a_card(flags, words, run, tmp_path, capsys):
    line = f"card {flags.format(run=run.path, new=tmp_path / 'x')} --out {tmp_path / 'card'}"
    assert main(line.split()) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_card_tells_the_line_of_ancestors(encoding, volumes, tmp_path):
    recipe = encoding.recipe.replace(total_kimg=0.004)
    second = train(recipe, volumes, tmp_path, 1, begin_from=encoding.path)
    third = train(recipe, volumes, tmp_path, 2, begin_from=second.path)
    with zipfile.ZipFile(publish(third.path, tmp_path / "x.zip", unaudited=True)) as archive:
        page = archive.read("MODEL_CARD.md").decode()
    digests = [open_snapshot(find_snapshot(one.path)).digest[:16] for one in (second, encoding)]
    places = [page.index(f"It began from hagan-2022 `{digest}`") for digest in digests]
    assert places == sorted(places)


def test_a_discriminator_is_there_only_when_asked_for(encoding, tmp_path, capsys):
    line = f"publish {encoding.path} --unaudited --with discriminator --out {tmp_path / 'x.zip'}"
    assert main(line.split()) == 0
    assert "remembers more of its training set" in capsys.readouterr().out
    assert "discriminator" in open_snapshot(find_snapshot(tmp_path / "x.zip"), None).weights


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--out {new}.tar --unaudited", "give a name that ends in .zip"),
        ("--out {new}.zip --unaudited --with critic", "--with critic: the snapshot has"),
        ("--out {new}.zip --report {new}", "cannot be read"),
    ],
)
def test_mistakes(flags, words, encoding, tmp_path, capsys):
    assert main(f"publish {encoding.path} {flags.format(new=tmp_path / 'x')}".split()) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_no_mark_of_the_training_data_is_in_a_bundle(thoraces, tmp_path):
    """Names and texts of the headers, every folder and file name and the paths of store and run are marked."""
    raw = tmp_path / MARK / "raw"
    for number, path in enumerate(sorted(thoraces.rglob("*.dcm"))):
        ds = pydicom.dcmread(path)
        for name in ("PatientName", "AccessionNumber", "StudyDescription", "SeriesDescription", "InstitutionName"):
            setattr(ds, name, MARK)
        ds.PatientID = f"{MARK}{path.parent.name[-6:]}"
        target = raw / f"{MARK}-{path.parent.name}" / f"{MARK}{number}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(target)
    store = prepare(
        raw, ChestCT(FactSource(constants={"group": "a"}), (32, 32, 32)), tmp_path / MARK / "store", workers=1
    )
    recipe = change_recipe(get_recipe("hagan").make_tiny(), {"total_kimg": 0.004})
    run = train(recipe, store, tmp_path / MARK / "runs")
    meta = json.loads((run.path / "snapshots" / "000000004" / "meta.json").read_text())
    tensors, _ = load_tensors(run.path / "snapshots" / "000000004")
    planted = {"images": 4, "seed": 0, "modality": "chest_ct", "spacing": meta["spacing"], "note": MARK}
    folder = tmp_path / MARK / "planted"  # a snapshot with words of its own, as another version may have written them
    save_weights(folder, tensors, run.recipe, {**planted, "trained_on": {**meta["trained_on"], "path": MARK}})
    for number, source in enumerate((run.path, folder)):
        content = publish(source, tmp_path / f"{number}.zip", unaudited=True).read_bytes()
        words = [MARK, str(tmp_path), *(case["patient"] for case in store.cases)]
        assert not [word for word in words if word.encode() in content]
        with zipfile.ZipFile(tmp_path / f"{number}.zip") as archive:
            texts = [archive.read(name).decode() for name in archive.namelist() if name.endswith((".json", ".md"))]
        assert len(texts) == 4
        assert not [text for text in texts if re.search(rf"\b{re.escape(socket.gethostname())}\b", text)]
    assert torch.equal(
        open_snapshot(find_snapshot(tmp_path / "1.zip")).weights["generator"]["low.head.bias"],
        tensors["generator"]["low.head.bias"],
    )
