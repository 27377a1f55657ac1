"""Every path below a raw folder ends in exactly one list, and the counts of every verb add up."""

import json
import os
import socket
import stat

import pytest
from drawings import FACTS, draw
from hypothesis import given, settings
from hypothesis import strategies as st

from ganatomy.cli import main
from ganatomy.data.balance import read_balance
from ganatomy.data.prepare import prepare
from ganatomy.data.store import open_store
from ganatomy.errors import Refused
from ganatomy.machine.durable import read_lines, write_lines, write_text
from ganatomy.machine.progress import format_name
from ganatomy.modalities import folder as listing
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.folder import list_files, list_folder
from ganatomy.modalities.mammogram import Mammogram

KIND = Mammogram(facts=FACTS, shape=(80, 64))


def names(rows):
    return {row["file"]: row.get("rule") or row["reason"] for row in rows}


def check_sum(raw, found):
    """Each path that a walk without rules meets is in one list, below one that is, or a link that was followed."""
    rows = [name for _, name in found.files] + [row["file"] for row in [*found.left_out, *found.skipped]]
    assert len(rows) == len(set(rows)) == found.total_paths
    for folder, folders, files in os.walk(raw):
        for name in [*files, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]:
            below = os.path.relpath(os.path.join(folder, name), raw)
            assert any(below == row or below.startswith(f"{row}/") or row.startswith(f"{below}/") for row in rows), (
                below
            )


# ----------------------------------------------------------------------------------------------------------------------
# The walk.


def test_what_is_no_image_by_its_name_is_skipped_by_a_rule(tmp_path):
    for name in (
        "b.png",
        "a/b.png",
        "a/t.CSV",
        "participants.tsv",
        "DICOMDIR",
        "Thumbs.db",
        "a/.DS_Store",
        ".git/x.png",
    ):
        draw(tmp_path / name, 0)
    found = list_folder(tmp_path)
    assert [name for _, name in found.files] == ["b.png", "a/b.png"]  # a folder's own files first
    assert names(found.skipped) == {
        ".git": listing.HIDDEN,
        "a/.DS_Store": listing.HIDDEN,
        "a/t.CSV": listing.TABLE,
        "participants.tsv": listing.TABLE,
        "DICOMDIR": listing.DICOM_DIRECTORY,
        "Thumbs.db": listing.SYSTEM,
    }
    assert set(names(found.skipped).values()) <= set(listing.SKIP_RULES)
    check_sum(tmp_path, found)


def test_links_are_followed_once_and_loops_end(tmp_path):
    raw, archive = tmp_path / "raw", tmp_path / "archive"
    draw(raw / "z" / "own.png", 0)
    draw(archive / "p1" / "far.png", 1)
    draw(archive / "lone.png", 2)
    (raw / "loop").symlink_to(".")
    (raw / "above").symlink_to("..")
    (raw / "a_known").symlink_to("z")  # sorts before the folder that it leads to
    (raw / "far").symlink_to(archive / "p1")
    (raw / "far_again").symlink_to(archive / "p1")
    (archive / "p1" / "back").symlink_to(raw / "z")
    (raw / "copy.png").symlink_to("z/own.png")
    (raw / "lone.png").symlink_to(archive / "lone.png")
    (raw / "lone2.png").symlink_to(archive / "lone.png")
    (raw / "gone.png").symlink_to("../.git/annex/objects/x.png")
    (raw / "round").symlink_to("round")
    found = list_folder(raw)
    assert sorted(name for _, name in found.files) == ["far/far.png", "lone.png", "z/own.png"]
    assert names(found.skipped) == {
        "loop": listing.KNOWN_FOLDER,
        "above": listing.FOLDER_ABOVE,
        "a_known": listing.KNOWN_FOLDER,
        "far_again": listing.KNOWN_FOLDER,
        "far/back": listing.KNOWN_FOLDER,
        "copy.png": listing.KNOWN_FILE,
        "lone2.png": listing.KNOWN_FILE,
    }
    assert names(found.left_out) == {"gone.png": "dangling link", "round": "dangling link"}
    assert any("annex/objects/x.png; fetch what it leads to" in row["detail"] for row in found.left_out)
    check_sum(raw, found)


def test_pipes_sockets_and_devices_are_rows_and_nobody_waits(tmp_path):
    draw(tmp_path / "a.png", 0)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s")[:100])
        found = list_folder(tmp_path)
    assert names(found.left_out) == {"pipe.png": "named pipe", "link": "device", "s": "socket"}
    assert [name for _, name in found.files] == ["a.png"]


def test_what_may_not_be_read_is_a_row(tmp_path, monkeypatch):
    """Told by the system's answers, since the tests may run as root, who may read everything."""
    draw(tmp_path / "a.png", 0)
    draw(tmp_path / "shut" / "b.png", 1)
    draw(tmp_path / "c.png", 2)
    scan, access = os.scandir, os.access

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("c.png") and access(path, mode))
    found = list_folder(tmp_path)
    assert names(found.left_out) == {"shut": "folder cannot be read", "c.png": "not readable"}
    with pytest.raises(Refused, match=r"cannot be read \(Permission denied\); ask for the right"):
        list_folder(tmp_path / "shut")


def test_a_folder_without_files_says_what_it_has(tmp_path):
    with pytest.raises(Refused, match="holds no file; give the folder"):
        list_files(tmp_path)
    (tmp_path / "x.png").symlink_to("nowhere")
    with pytest.raises(Refused, match=r"holds no file but 1 other paths, such as x.png \(dangling link\)"):
        list_files(tmp_path)
    with pytest.raises(Refused, match="is not a folder"):
        list_folder(tmp_path / "x.png")


# ----------------------------------------------------------------------------------------------------------------------
# Names.

ODD_NAMES = (
    b"M\xfcller.png",
    "line\u2028separator.png".encode(),
    "next\u0085line.png".encode(),
    b"line\nfeed.png",
    b"\xff.png",
)


def test_names_of_any_bytes_come_back_from_the_disk(tmp_path):
    write_text(tmp_path / "page.html", f"<p>{os.fsdecode(ODD_NAMES[0])}</p>")
    assert "ller.png" in (tmp_path / "page.html").read_text(encoding="utf-8")
    rows = [{"file": os.fsdecode(name), "told": "x\u2028y"} for name in ODD_NAMES]
    write_lines(tmp_path / "rows.jsonl", rows)
    assert read_lines(tmp_path / "rows.jsonl") == rows
    (tmp_path / "old.jsonl").write_text(json.dumps(rows[1], ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_lines(tmp_path / "old.jsonl") == rows[1:2]  # as older versions wrote it
    assert [format_name(os.fsdecode(name)) for name in ODD_NAMES] == [
        "M\\xfcller.png",
        "line\\u2028separator.png",
        "next\\x85line.png",
        "line\\nfeed.png",
        "\\xff.png",
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=12).filter(lambda b: b not in (b".", b"..") and not {0, 47} & set(b))))
def test_fuzz_of_names(tmp_path_factory, found):
    """Any name that the system takes is in one list, and its row comes back from the disk."""
    raw = tmp_path_factory.mktemp("names")
    for name in found:
        with open(os.path.join(os.fsencode(raw), name), "wb"):
            pass
    listed = list_folder(raw)
    check_sum(raw, listed)
    assert listed.total_paths == len(set(found))
    write_lines(raw / "rows", [{"file": name} for _, name in listed.files])
    assert [row["file"] for row in read_lines(raw / "rows")] == [name for _, name in listed.files]
    assert all(format_name(name).isprintable() for _, name in listed.files)


KINDS = ("file", "folder", "link", "link above", "dangling", "pipe", "hidden", "table")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), max_size=25))
def test_fuzz_of_trees(tmp_path_factory, wishes):
    """Folders, links between them in any direction, pipes: the walk ends and every path is in one list."""
    raw = tmp_path_factory.mktemp("tree") / "raw"
    raw.mkdir()
    folders = [raw]
    for number, (kind, place, other) in enumerate(wishes):
        path = folders[place % len(folders)] / {"hidden": f".h{number}", "table": f"{number}.csv"}.get(
            kind, str(number)
        )
        if kind in ("file", "hidden", "table"):
            path.write_bytes(b"x")
        elif kind == "folder":
            path.mkdir()
            folders.append(path)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            goal = {"link": folders[other % len(folders)], "link above": raw.parent}.get(kind, raw / "nowhere")
            path.symlink_to(goal)
    listed = list_folder(raw)
    check_sum(raw, listed)
    assert {os.path.realpath(path) for path, _ in listed.files} == {
        os.path.join(folder, name)
        for folder, _, found in os.walk(raw)
        for name in found
        if name.isdigit() and stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode)
    }


# ----------------------------------------------------------------------------------------------------------------------
# The verbs.


def test_the_balance_of_prepare_adds_up_and_is_printed(tmp_path, capsys):
    raw = tmp_path / "raw"
    for i, name in enumerate(ODD_NAMES):
        draw(raw / os.fsdecode(name), i)
    draw(raw / "again.png", 0)
    (raw / "notes.txt").write_text("x")
    (raw / "gone.png").symlink_to("nowhere")
    os.mkfifo(raw / "pipe")
    (raw / "t.tsv").write_text("x")
    words = [
        "prepare",
        str(raw),
        "--modality",
        "mammogram",
        "--shape",
        "80,64",
        "--out",
        str(raw / "store"),
        "--workers",
    ]
    words += ["1", "--fact", "view_position=CC", "--fact", "laterality=L", "--fact", "chest_wall=left", "--fact", "x=1"]
    for again in (False, True):  # the store lies in the raw folder, and the same command leaves it as it is
        from ganatomy.machine import progress

        progress.quiet = False
        assert main(words) == 0
        told = capsys.readouterr().out
        assert "10 paths below the raw folder: 5 used in 5 images, 4 left out, 1 skipped" in told, again
        assert "1 x dangling link, such as gone.png: No such file or directory: nowhere; fetch" in told
        assert "1 x table, such as t.tsv" in told
        assert "x (1: 5)" in told  # a fact of all files is a label
        assert "each file counts as one patient; images of one person may be both in training and in test" in told
    balance = read_balance(raw / "store")
    assert balance["paths"] == balance["used"] + balance["left_out"] + balance["skipped"]
    assert {name: group["rows"] for name, group in balance["reasons"].items()} == {
        "copy": 1,
        "not an image file": 1,
        "dangling link": 1,
        "named pipe": 1,
    }
    rows = [row for name in ("quarantine", "skipped") for row in read_lines(raw / "store" / f"{name}.jsonl")]
    files = [row["file"] for row in (*open_store(raw / "store").cases, *rows)]
    assert len(files) == len(set(files)) == 10
    assert {os.fsencode(name) for name in files} >= set(ODD_NAMES) - {ODD_NAMES[0]}


def test_only_paths_that_cannot_be_read_leave_their_reasons(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.png").symlink_to("nowhere")
    with pytest.raises(Refused, match=r"None of the 1 files can be used: 1 x dangling link.*every reason is in"):
        prepare(tmp_path / "raw", KIND, tmp_path / "store", workers=0)
    assert names(read_lines(tmp_path / "store" / "quarantine.jsonl")) == {"a.png": "dangling link"}


def test_a_series_that_is_left_out_counts_with_all_its_files(thoraces, tmp_path):
    from ganatomy.modalities.chest_ct import ChestCT

    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("PHA-000001", "PHA-000002"):
        (raw / name).symlink_to(thoraces / name)
    kind = ChestCT(FactSource(constants={"site": "here"}), (32, 32, 32))
    (raw / "facts.csv").write_text("file,patient\nPHA-000001,one\n")
    store = prepare(raw, kind, tmp_path / "store", workers=0)
    balance = read_balance(store.path)
    slices = len(list((thoraces / "PHA-000001").iterdir()))
    assert (balance["paths"], balance["used"], balance["left_out"]) == (2 * slices + 1, slices, slices)
    (row,) = read_lines(store.path / "quarantine.jsonl")
    assert (row["file"], row["reason"], row["files"]) == ("PHA-000002", "not in the table of facts", slices)


def test_verify_tells_what_it_could_not_look_at(cohort, tmp_path, capsys):
    (tmp_path / "d").mkdir()
    file = next(cohort.rglob("*.dcm"))
    os.link(file, os.path.join(os.fsencode(tmp_path / "d"), b"caf\xe9.dcm"))
    (tmp_path / "d" / "gone.dcm").symlink_to("nowhere")
    (tmp_path / "d" / "notes.txt").write_text("x")
    os.mkfifo(tmp_path / "d" / "pipe")
    from ganatomy.machine import progress

    progress.quiet = False
    assert main(["verify", str(tmp_path / "d"), "--out", str(tmp_path / "v.jsonl")]) == 1
    told = capsys.readouterr()
    assert "4 paths: 2 examined, 1 no images (such as notes.txt), 1 passed over (such as pipe: named pipe)" in told.out
    assert "gone.dcm: NOT MARKED SYNTHETIC; dangling link" in told.out
    assert "caf\\xe9.dcm: " in told.out
    assert "not marked synthetic" in told.err
    assert {row["file"] for row in read_lines(tmp_path / "v.jsonl")} == {os.fsdecode(b"caf\xe9.dcm"), "gone.dcm"}


def test_evaluate_refuses_a_link_that_leads_nowhere_by_name(store, tmp_path):
    from ganatomy.evaluation.images.foreign import read_foreign_images

    draw(tmp_path / "a.png", 0)
    (tmp_path / "b.png").symlink_to("nowhere")
    with pytest.raises(Refused, match=r"1 of 2 files in .* cannot be compared: 1 x dangling link, such as b\.png"):
        read_foreign_images(tmp_path, store, FACTS, None, 10)


def test_export_names_what_its_index_lacks(tmp_path, capsys):
    from cohorts import mammograms

    from ganatomy.machine import progress

    folder = mammograms(tmp_path / "samples", 4)
    draw(folder / "stray.png", 0)
    progress.quiet = False
    assert main(["export", str(folder), "--to", "npy", "--out", str(tmp_path / "a")]) == 0
    assert "1 files of" in (told := capsys.readouterr().out)
    assert "stay, such as stray.png" in told
    file = folder / read_lines(folder / "samples.jsonl")[1]["file"]
    file.unlink()
    os.mkfifo(file)
    assert main(["export", str(folder), "--to", "npy", "--out", str(tmp_path / "b")]) == 2
    assert "lacks 1 of 4 files that its samples.jsonl names" in capsys.readouterr().err
