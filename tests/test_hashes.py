"""Every fact that is used is covered by a hash: snapshots, stores, names; and files without hashes stay readable."""

import json
import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from ganatomy.checkpoint import META_FILE, META_HASH, find_snapshot, open_snapshot
from ganatomy.data.store import HASHES, MANIFEST_FILE, open_store, write_manifest
from ganatomy.errors import Refused
from ganatomy.exporting import export as exporting
from ganatomy.exporting.verify import verify
from ganatomy.machine import progress
from ganatomy.recipes import get_recipe
from ganatomy.sampling import sample

FIRST_RELEASE = Path(__file__).parent / "first_release"


def edit_json(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture
def snapshot_folder(run, tmp_path):
    return shutil.copytree(run.list_snapshots()[-1], tmp_path / "snapshot")


@pytest.fixture
def sealed_store(store, tmp_path):
    return shutil.copytree(store.path, tmp_path / "store")


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(spacing=[0.01, 0.01]),
        lambda meta: meta.update(images=1),
        lambda meta: meta["recipe"].update(name="another"),
        lambda meta: meta["trained_on"].update(patients=1),
    ],
)
def test_a_changed_fact_of_a_snapshot_is_found(snapshot_folder, change):
    assert open_snapshot(snapshot_folder).is_sealed
    edit_json(snapshot_folder / META_FILE, change)
    with pytest.raises(Refused, match=r"damaged .*meta\.json has changed since it was written"):
        open_snapshot(snapshot_folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(spacing="wide"),
        lambda meta: meta.update(spacing=[-1, 1]),
        lambda meta: meta.update(spacing=[1, 1, 1]),
        lambda meta: meta.update(images="many"),
        lambda meta: meta.update(format="new"),
        lambda meta: meta.update(trained_on=[]),
        lambda meta: meta.update(sha256={"../generator": "0"}),
        lambda meta: meta.update(sha256=None),
        lambda meta: meta["recipe"].update(shape=[10**12, 8]),
        lambda meta: meta["recipe"]["networks"]["generator"].update(widest=8),
    ],
)
def test_an_odd_edit_of_a_snapshot_without_hash_is_a_sentence(snapshot_folder, change):
    def remove_hash_too(meta):
        change(meta)
        del meta[META_HASH]

    edit_json(snapshot_folder / META_FILE, remove_hash_too)
    with pytest.raises(Refused, match="damaged"):
        next(sample(open_snapshot(snapshot_folder), 1))


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "\xff"])
def test_a_meta_that_is_no_object_is_a_sentence(snapshot_folder, text):
    (snapshot_folder / META_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(Refused, match="damaged"):
        open_snapshot(snapshot_folder)


def test_the_selected_snapshot_is_one_of_the_run(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "runs" / "run")
    shutil.copytree(run.list_snapshots()[0], tmp_path / "elsewhere")
    (copy / "selection.json").write_text(json.dumps({"best": "../../../elsewhere"}))
    with pytest.raises(Refused, match="select again"):
        find_snapshot(copy)


@pytest.mark.parametrize(
    ("name", "value"),
    [("split", "train"), ("patient", "0" * 16), ("facts", {"view_position": "CC", "laterality": "L"})],
)
def test_a_changed_case_is_found_in_any_store(tmp_path, name, value):
    folder = shutil.copytree(FIRST_RELEASE / "store", tmp_path / "store")
    cases = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    changed = [case | {name: value} for case in cases]
    assert changed != cases
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in changed))
    with pytest.raises(Refused, match=r"cases\.jsonl has changed since it was written"):
        open_store(folder)


def test_a_changed_spacing_or_count_is_found_in_a_sealed_store(store, sealed_store):
    assert open_store(sealed_store).is_sealed
    content = (sealed_store / "cases.safetensors").read_bytes()
    assert b'"factor"' in content
    (sealed_store / "cases.safetensors").write_bytes(content.replace(b'"factor"', b'"faktor"', 1))
    with pytest.raises(Refused, match=r"cases\.safetensors has changed"):
        open_store(sealed_store)
    (sealed_store / "cases.safetensors").write_bytes(content)
    edit_json(sealed_store / MANIFEST_FILE, lambda manifest: manifest.pop(HASHES))
    with pytest.raises(Refused, match=r"manifest\.json has changed"):
        open_store(sealed_store)
    write_manifest(sealed_store, store.manifest)
    edit_json(sealed_store / MANIFEST_FILE, lambda manifest: manifest.update(spacing=[1, 1]))
    with pytest.raises(Refused, match=r"manifest\.json has changed"):
        open_store(sealed_store)


def test_files_of_the_first_release_carry_no_hash_and_say_so(tmp_path, monkeypatch):
    assert not open_store(FIRST_RELEASE / "store").is_sealed
    assert HASHES not in json.loads((FIRST_RELEASE / "store" / MANIFEST_FILE).read_text())
    snapshot = open_snapshot(FIRST_RELEASE / "snapshot")
    assert not snapshot.is_sealed
    exporting.write_samples(sample(snapshot, 1, 1), 1, "mammogram", tmp_path / "dicom", "dicom")
    told = []
    monkeypatch.setattr(progress, "say", told.append)
    (finding,) = verify(tmp_path / "dicom", FIRST_RELEASE / "snapshot")
    assert (finding.again, finding.geometry) == ("equal", "equal")
    assert "carries no hash" in told[0]


@pytest.mark.parametrize("to", ["dicom", "secondary", "enhanced"])
@pytest.mark.parametrize("kind", ["run", "hagan"])
def test_verify_finds_a_changed_geometry(kind, to, request, tmp_path):
    trained = request.getfixturevalue(kind)
    if (kind, to) == ("run", "enhanced"):
        pytest.skip("a mammogram is one image")
    snapshot = open_snapshot(trained.list_snapshots()[-1])
    exporting.write_samples(sample(snapshot, 1, 1), 1, snapshot.modality, tmp_path / "samples")
    options = {"dicom": {}, "secondary": {"secondary_capture": True}, "enhanced": {"enhanced": True}}[to]
    exporting.export(tmp_path / "samples", tmp_path / "dicom", **options)
    assert {finding.geometry for finding in verify(tmp_path / "dicom", snapshot.path)} == {"equal"}
    file = sorted((tmp_path / "dicom").rglob("*.dcm"))[0]
    ds = dcmread(file)
    for element in ds.iterall():
        if element.keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
            element.value = [2 * float(v) for v in element.value]
    ds.save_as(file)
    first = verify(tmp_path / "dicom", snapshot.path)[0]
    assert first.geometry.startswith("different (")
    assert "PixelSpacing" in first.geometry
    assert not first.is_sound
    assert (first.pixels, first.again) == ("as written", "equal")


@pytest.mark.parametrize("name", ["../../evil", "a/b", "a\\b", ".", "..", "", " a", "a\n", "x" * 81, "-rf", "a\0b"])
def test_a_recipes_name_is_no_path(name):
    with pytest.raises(Refused, match="never a path"):
        get_recipe("hagan").replace(name=name)


@pytest.mark.parametrize("name", ["hagan-relativistic", "Tiny (v2) + mehr", "été", "1.5_mm"])
def test_a_recipes_name_may_be_words(name):
    assert get_recipe("hagan").replace(name=name).name == name
