"""A store grows: only new files are read, and what it had keeps its rows, patients, splits and bits."""

import os
import shutil

import numpy as np
import pytest
from drawings import draw
from stores import content, same

from ganatomy.data import finish, growth
from ganatomy.data import parts as preparing
from ganatomy.data.balance import read_balance
from ganatomy.data.prepare import prepare, prepare_shard
from ganatomy.data.split import assign_splits
from ganatomy.data.store import open_store
from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.durable import read_lines
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.mammogram import Mammogram

KIND = Mammogram(
    facts=FactSource(constants={"chest_wall": "left", "view_position": "CC"}, columns={"maker": "maker"}),
    shape=(40, 32),
)
HEADER = "file,patient,laterality,maker"


def add(raw, number, patient, maker="A", pixels=None):
    """One picture with a row in the table."""
    name = f"{patient}/{number}.png"
    draw(raw / name, number if pixels is None else pixels)
    table = raw / "facts.csv"
    rows = table.read_text().splitlines() if table.exists() else [HEADER]
    table.write_text("\n".join([*rows, f"{name},{patient},L,{maker}"]) + "\n")
    return raw / name


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A raw folder of twenty pictures of ten patients with a file that is no image, and its store."""
    folder = tmp_path_factory.mktemp("growth")
    for number in range(20):
        add(folder / "raw", number, f"p{number // 2}")
    table = folder / "raw" / "facts.csv"
    table.write_text(table.read_text() + "broken.png,p0,L,A\n")
    (folder / "raw" / "broken.png").write_text("no picture")
    prepare(folder / "raw", KIND, folder / "store", workers=0)
    return folder


@pytest.fixture
def place(begun, tmp_path):
    """Copies of both, with the dates of the files."""
    return shutil.copytree(begun, tmp_path / "place", copy_function=shutil.copy2)


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr(progress, "say", lines.append)
    return lines


@pytest.fixture
def read(monkeypatch):
    """The names of the candidates that are read."""
    names, real = [], preparing._read_case
    monkeypatch.setattr(
        preparing, "_read_case", lambda kind, one, *rest: names.append(one.name) or real(kind, one, *rest)
    )
    return names


def grow(place, **options):
    return prepare(place / "raw", KIND, place / "store", workers=0, **options)


def check_kept(before, after):
    """All that a store was is in the store after it has grown."""
    assert after.cases[: len(before[1])] == before[1]
    assert all(list(row) for row in before[1])
    for level, pixels in before[3].items():
        assert np.array_equal(np.asarray(after.array(level)[: len(pixels)]), pixels)
    after.check_files()


def test_only_new_files_are_read_and_the_rest_keeps_its_place(place, read, told):
    before = content(place / "store")
    add(place / "raw", 20, "p3")
    for number in range(21, 29):
        add(place / "raw", number, f"new{number // 2}")
    after = grow(place)
    check_kept(before, after)
    assert sorted(read) == sorted(f"{p}/{n}.png" for n in range(20, 29) for p in ["p3" if n == 20 else f"new{n // 2}"])
    assert (after.manifest.cases, after.manifest.patients, after.manifest.generation) == (29, 15, 1)
    assert after.manifest.splits["validation"] >= 2
    splits = {}
    for case in after.cases:
        splits.setdefault(case["patient"], set()).add(case["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert [len([s for s in splits.values() if s == {name}]) for name in ("validation", "test")] == [2, 2]
    (of_old,) = (case for case in after.cases if case["file"] == "p3/20.png")
    assert of_old["patient"] == next(case["patient"] for case in before[1] if case["file"] == "p3/6.png")
    assert after.manifest.fingerprint != before[0].fingerprint
    assert any("9 of 30 candidates are new" in line for line in told)
    assert any("has grown by 9 images and 5 patients; the 20 images that it had keep" in line for line in told)
    balance = read_balance(after.path)
    assert (balance["paths"], balance["used"], balance["left_out"], balance["skipped"]) == (31, 29, 1, 1)
    assert balance["persons"]["told_by"] == {"patient of the table": 29}
    assert [row["file"] for row in read_lines(after.path / "quarantine.jsonl")] == ["broken.png"]
    assert balance["reasons"]["not readable as a picture"]["rows"] == 1
    assert "'broken.png'" in balance["reasons"]["not readable as a picture"]["first"]["detail"]  # without its folder
    read.clear()
    assert grow(place).manifest == after.manifest
    assert not read
    add(place / "raw", 29, "later")
    assert (grow(place).manifest.generation, read) == (2, ["later/29.png"])
    assert sorted(p.name for p in after.path.glob("*.safetensors")) == [
        "cases-2.safetensors",
        "kept-2.safetensors",
        "prepared-2.safetensors",
    ]


def test_a_grown_store_holds_what_one_made_at_once_holds(place):
    for number in range(20, 40):
        add(place / "raw", number, f"p{number // 2}", pixels=30 if number == 33 else None)
    grown, whole = grow(place), prepare(place / "raw", KIND, place / "other", workers=0)

    def describe(store):
        rows = sorted(store.cases, key=lambda case: case["file"])
        return [{name: case[name] for name in ("file", "patient", "facts", "pixels", "spacing")} for case in rows]

    assert [case["file"] for case in grown.cases] != [case["file"] for case in whole.cases]
    assert describe(grown) == describe(whole)
    balances = [read_balance(store.path) for store in (grown, whole)]
    assert balances[0] == balances[1]
    for name in ("patients", "facts", "quarantined", "doubts", "spacing", "intensity_quantiles", "conditions"):
        assert getattr(grown.manifest, name) == getattr(whole.manifest, name), name


def test_a_file_that_has_vanished_or_changed_is_refused_and_nothing_is_changed(place):
    before = content(place / "store")
    add(place / "raw", 20, "new")
    file = place / "raw" / "p1" / "2.png"
    whole, about = file.read_bytes(), file.stat()
    file.unlink()
    with pytest.raises(Refused, match=r"of its 20 images, 1 are gone .*, such as p1/2\.png.*another --out"):
        grow(place)
    file.write_bytes(whole[:-1])
    with pytest.raises(Refused, match=r"of its 20 images, 1 have changed, such as p1/2\.png"):
        grow(place)
    file.write_bytes(whole[:-1] + b"\0")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns + 10**9))
    with pytest.raises(Refused, match=r"1 have changed, such as p1/2\.png"):
        grow(place)
    table = place / "raw" / "facts.csv"
    facts = table.read_text()
    file.write_bytes(whole)
    table.write_text(facts.replace("p1/2.png,p1,", "p1/2.png,p2,"))
    with pytest.raises(Refused, match=r"1 have other facts, such as p1/2\.png"):
        grow(place)
    table.write_text(facts.replace("p1/2.png,p1,L,A\n", ""))
    with pytest.raises(Refused, match=r"1 are gone or no longer in the table, such as p1/2\.png"):
        grow(place)
    same(before, content(place / "store"))
    table.write_text(facts)
    assert grow(place).manifest.cases == 21


def test_new_dates_alone_change_nothing_and_are_compared_once(place, read, monkeypatch):
    before, compared, real = content(place / "store"), [], growth.hash_content
    monkeypatch.setattr(growth, "hash_content", lambda paths: compared.append(paths) or real(paths))
    for path in (place / "raw").rglob("*.png"):
        os.utime(path, (1, 1))
    for _ in range(2):
        same(before, content(grow(place).path))
        assert (len(compared), read) == (21, [])


def test_what_was_left_out_may_change_or_vanish(place, read):
    before = content(place / "store")
    draw(place / "raw" / "broken.png", 99)
    after = grow(place)
    check_kept(before, after)
    assert (read, after.manifest.cases, after.manifest.quarantined) == (["broken.png"], 21, {})
    (place / "raw" / "notes").write_text("no picture")
    table = place / "raw" / "facts.csv"
    table.write_text(table.read_text() + "notes,p0,L,A\n")
    assert grow(place).manifest.quarantined == {"not an image file": 1}
    (place / "raw" / "notes").unlink()
    table.write_text(table.read_text().replace("notes,p0,L,A\n", ""))
    read.clear()
    last = grow(place)
    assert (read, last.manifest.quarantined, last.manifest.fingerprint) == ([], {}, after.manifest.fingerprint)
    assert not read_lines(last.path / "quarantine.jsonl")


def test_new_values_are_appended_so_that_older_models_keep_theirs(place, told):
    assert open_store(place / "store").manifest.conditions["maker"] == ("A",)
    add(place / "raw", 20, "new", maker="Z")
    grow(place)
    add(place / "raw", 21, "new", maker="0")
    after = grow(place)
    assert after.manifest.conditions["maker"] == ("A", "Z", "0")
    assert after.manifest.facts["maker"] == {"A": 20, "Z": 1, "0": 1}
    assert any("maker has new values: 0. Models that were trained before do not know them" in line for line in told)


def test_a_copy_and_an_image_of_two_patients(place):
    """A copy of a known image is left out; an image that joins patients of two splits is left out with a reason."""
    store = open_store(place / "store")
    one, other = (next(iter(store.split(name)))["file"] for name in ("train", "test"))
    shutil.copy(place / "raw" / one, place / "raw" / "copy.png")
    shutil.copy(place / "raw" / other, place / "raw" / "swapped.png")
    shutil.copy(place / "raw" / one, place / "raw" / "renamed.png")
    table = place / "raw" / "facts.csv"
    people = {"copy": one.partition("/")[0], "swapped": one.partition("/")[0], "renamed": "somebody"}
    table.write_text(table.read_text() + "".join(f"{name}.png,{who},L,A\n" for name, who in people.items()))
    before, after = content(place / "store"), grow(place)
    check_kept(before, after)
    reasons = {row["file"]: row["reason"] for row in read_lines(after.path / "quarantine.jsonl")}
    assert reasons == {"broken.png": "not readable as a picture", "copy.png": "copy", "swapped.png": finish.TWO_SPLITS}
    (renamed,) = after.cases[20:]
    assert renamed["patient"] == next(case["patient"] for case in before[1] if case["file"] == one)
    assert renamed["split"] == "train"
    assert "1 patients have an image with the same pixels" in " ".join(read_balance(after.path)["persons"]["warnings"])


@pytest.mark.parametrize("moment", ["begin", "arrays", "parts", "balance", "cases", "manifest", "cleanup"])
def test_a_killed_growth_leaves_the_store_and_is_completed(place, moment, monkeypatch):
    before = content(place / "store")
    for number in range(20, 40):
        add(place / "raw", number, f"new{number // 2}")
    shutil.copytree(place, place.with_name("unbroken"), copy_function=shutil.copy2)
    where = {
        "begin": (growth, "write_prepared"),
        "arrays": (growth, "_fit_arrays"),
        "parts": (preparing, "hash_content"),
        "balance": (finish, "write_balance"),
        "cases": (finish, "write_prepared"),
        "manifest": (finish.storing, "write_manifest"),
        "cleanup": (finish, "_remove_earlier"),
    }[moment]
    real, calls = getattr(*where), []

    def stop(*given):
        calls.append(given)
        if moment == "parts" and len(calls) < 18:  # in the second part
            return real(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(*where, stop)
    with pytest.raises(KeyboardInterrupt):
        grow(place)
    monkeypatch.undo()
    if moment != "cleanup":
        left = open_store(place / "store")
        assert (left.manifest, left.cases) == before[:2]
        check_kept(before, left)
    same(content(grow(place).path), content(grow(place.with_name("unbroken")).path))
    assert not list((place / "store").rglob("*.part"))


def test_a_growth_that_was_begun_is_given_up_when_the_folder_changes_again(place, monkeypatch):
    before = content(place / "store")
    for number in range(20, 30):
        add(place / "raw", number, f"new{number // 2}")
    monkeypatch.setattr(finish.storing, "write_manifest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        grow(place)
    monkeypatch.undo()
    shutil.rmtree(place / "raw" / "new10")
    table = place / "raw" / "facts.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if "new10" not in line))
    add(place / "raw", 30, "another")
    after = grow(place)
    check_kept(before, after)
    assert {case["file"].partition("/")[0] for case in after.cases[20:]} == {
        "new11",
        "new12",
        "new13",
        "new14",
        "another",
    }
    assert len(read_lines(after.path / "quarantine.jsonl")) == 1
    shutil.copytree(place / "raw", place / "back", copy_function=shutil.copy2)
    add(place / "raw", 31, "one more")
    monkeypatch.setattr(finish.storing, "write_manifest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        grow(place)
    monkeypatch.undo()
    whole = content(after.path)
    assert prepare(place / "back", KIND, place / "store", workers=0).manifest == after.manifest
    assert whole[1] == after.cases
    assert open_store(place / "store").array((20, 16)).shape[0] == after.manifest.rows


def test_jobs_share_a_growth(place):
    before = content(place / "store")
    for number in range(20, 60):
        add(place / "raw", number, f"new{number // 2}")
    shutil.copytree(place, place.with_name("alone"), copy_function=shutil.copy2)
    assert prepare_shard(place / "raw", KIND, place / "store", (2, 2), workers=0) is None
    assert open_store(place / "store").cases == before[1]
    prepare_shard(place / "raw", KIND, place / "store", (1, 2), workers=0)
    same(content(place / "store"), content(grow(place.with_name("alone")).path))


def test_another_key_or_a_store_of_an_earlier_version_does_not_grow(place, tmp_path):
    before = content(place / "store")
    assert grow(place, key=tmp_path / "other").cases == before[1]
    add(place / "raw", 20, "new")
    with pytest.raises(Refused, match="grows with its key only; give the same --key as then"):
        grow(place, key=tmp_path / "other")
    (place / "store" / "prepared.safetensors").unlink()
    with pytest.raises(Refused, match=r"has changed since .* was begun \(21 files then, 22 now\); give another --out"):
        grow(place)
    same(before, content(place / "store"))


def test_the_shares_are_kept_and_those_who_have_a_split_keep_it():
    first = assign_splits([f"p{i}" for i in range(10)])
    before = {name: list(first.values()).count(name) for name in set(first.values())}
    new = [f"n{i}" for i in range(90)]
    second = assign_splits(new, before=before)
    assert second == assign_splits(new[::-1], before=before)
    assert set(second) == set(new)
    counts = {name: list((first | second).values()).count(name) for name in ("train", "validation", "test")}
    assert counts == {"train": 80, "validation": 10, "test": 10}
    assert assign_splits(new[:2], before={"train": 1, "validation": 1, "test": 1}) == dict.fromkeys(new[:2], "train")
    assert set(assign_splits(new[:2], before={"train": 2}).values()) == {"validation", "test"}
