"""The table is the first source of facts: how its rows are matched, what counts as missing, and what is refused."""

import numpy as np
import pytest
from drawings import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from ganatomy.cli import main
from ganatomy.data.balance import read_balance
from ganatomy.data.numbers import list_number_facts
from ganatomy.data.prepare import prepare
from ganatomy.errors import Refused
from ganatomy.imaging.image import UnusableImage
from ganatomy.machine import progress
from ganatomy.machine.durable import read_lines
from ganatomy.modalities.facts import MISSING_VALUES, FactSource, normalise_path, normalise_value
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.modality import Candidate
from ganatomy.phantoms.cohort import write_cohort


def read(tmp_path, text, **given):
    (tmp_path / "facts.csv").write_text(text, encoding="utf-8")
    return FactSource(**given).read_table(tmp_path)


# ----------------------------------------------------------------------------------------------------------------------
# Rows.


@pytest.mark.parametrize("written", ["a/b.png", "a\\b.png", "./a/b.png", "a//b.png ", " a/./b.png"])
def test_a_path_is_matched_however_it_is_written(tmp_path, written):
    table = read(tmp_path, f"file,sex\n{written},F\n")
    assert table.find_facts("a/b.png") == {"sex": "F"}
    assert table.find_key("a/c.png") is None


def test_accents_match_whether_composed_or_not(tmp_path):
    table = read(tmp_path, "file,sex\nMu\u0308ller.png,F\n")
    assert table.find_facts("M\u00fcller.png") == {"sex": "F"}


def test_a_series_is_found_under_its_folder(tmp_path):
    table = read(tmp_path, "file,sex\nct,F\nct#2,M\n")
    assert [table.find_facts(name)["sex"] for name in ("ct", "ct#1", "ct#2")] == ["F", "F", "M"]
    assert table.find_key("ct#x") is None
    table = read(tmp_path, "file,sex\n./,F\n")  # one series in the raw folder itself
    assert [table.find_facts(name)["sex"] for name in (".", ".#2")] == ["F", "F"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *((word, "") for word in (*MISSING_VALUES, "NaN", " NA ", "NULL", None)),
        ("1", "1"),
        ("1.0", "1"),
        ("2.50", "2.5"),
        ("-0.0", "0"),
        ("-1.00", "-1"),
        ("10", "10"),
        ("0012", "0012"),
        ("none", "none"),  # a class of its own, as "no emphysema"
        ("1.2.840.0", "1.2.840.0"),
        ("1e3", "1e3"),
        (" mild ", "mild"),
    ],
)
def test_values_have_one_form(written, value):
    assert normalise_value(written) == value


@given(st.integers(-(10**6), 10**6), st.integers(0, 6), st.integers(0, 6))
def test_numbers_that_are_equal_are_one_class(whole, digits, zeros):
    text = f"{whole}.{'5' * digits}{'0' * zeros}".rstrip(".")
    assert normalise_value(text + ("0" if "." in text else ".0")) == normalise_value(text)
    assert float(normalise_value(text)) == float(text)


def test_rows_that_agree_are_one_and_rows_that_do_not_are_refused(tmp_path):
    table = read(tmp_path, "file,sex,age\na.png,F,\n./a.png,F,40\n\nb.png,M,nan\n")
    assert table.find_facts("a.png") == {"sex": "F", "age": "40"}
    assert table.rows == {"a.png": (2, 3), "b.png": (5,)}
    with pytest.raises(Refused, match=r"more than one row for a\.png: row 2 says sex F, row 3 says M; leave one"):
        read(tmp_path, "file,sex\na.png,F\na.png,M\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; its first row names the columns"),
        ("name,sex\na,F\n", "has no column file; it has name, sex"),
        ("file,sex\na.png,F,likely, maybe\n", r"Row 2 of .* has 4 cells and the header 2"),
        ("file,sex,sex\na.png,F,M\n", "two columns of the name sex"),
    ],
)
def test_a_broken_table_is_one_sentence(tmp_path, text, words):
    with pytest.raises(Refused, match=words):
        read(tmp_path, text)


def test_a_table_that_is_no_text_and_one_that_is_no_file_are_refused(tmp_path):
    (tmp_path / "facts.csv").write_bytes(b"file,sex\nM\xfcller.png,F\n")
    with pytest.raises(Refused, match="cannot be read as CSV in UTF-8"):
        FactSource().read_table(tmp_path)
    (tmp_path / "facts.csv").unlink()
    (tmp_path / "facts.csv").symlink_to("nowhere")
    with pytest.raises(Refused, match="cannot be read: it is no file"):
        FactSource().read_table(tmp_path)


def test_a_column_may_serve_two_facts_and_shadows_another_of_its_name(tmp_path):
    columns = {"laterality": "side", "marker": "side", "file": "path"}
    table = read(tmp_path, "path,side,laterality,age\na.png,L,R,4\n", columns=columns)
    assert table.find_facts("a.png") == {"laterality": "L", "marker": "L", "age": "4"}
    assert set(table.columns) == {"laterality", "marker", "age"}


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(CELL, max_size=4), max_size=6), st.sampled_from([",", ";", '"', ""]))
def test_fuzz_of_tables(tmp_path_factory, rows, joint):
    """Any text is a table or one sentence; every row of a table is used by a file, unmatched, or names no file."""
    folder = tmp_path_factory.mktemp("table")
    (folder / "facts.csv").write_text("\n".join(joint.join(row) for row in [["file", "sex"], *rows]), encoding="utf-8")
    try:
        table = FactSource().read_table(folder)
    except Refused:
        return
    numbers = sorted([*table.unnamed, *(number for every in table.rows.values() for number in every)])
    assert len(numbers) == len(set(numbers))
    assert all(table.find_key(key) == key == normalise_path(key) for key in table.facts)
    assert all(value == normalise_value(value) for told in table.facts.values() for value in told.values())


# ----------------------------------------------------------------------------------------------------------------------
# What comes of them.


def test_the_table_is_believed_before_the_header(cohort, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = ["file,view_position,laterality,patient,spacing_mm"]
    for i, file in enumerate(sorted(cohort.rglob("*.dcm"))[:4]):
        dataset = dcmread(file)
        del dataset.ViewCodeSequence, dataset.ViewPosition
        dataset.save_as(raw / f"{i}.dcm")
        rows.append(f"{i}.dcm,{'CC' if i % 2 else 'MLO'},{dataset.ImageLaterality},from table,0.5")
    (raw / "facts.csv").write_text("\n".join(rows))
    store = prepare(raw, Mammogram(shape=(80, 64)), tmp_path / "store", workers=0)
    assert [case["facts"]["view_position"] for case in store.cases] == ["MLO", "CC", "MLO", "CC"]
    assert store.manifest.patients == 1
    assert store.manifest.spacing == (2.0, 2.0)  # 0.5 mm shrunk four times
    assert read_balance(store.path)["persons"]["told_by"] == {"patient of the table": 4}


def test_a_table_that_tells_what_it_may_not_is_a_reason(cohort, tmp_path):
    source = sorted(cohort.rglob("*.dcm"))[0]
    told = {"laterality": "left", "view_position": "XX", "chest_wall": "top"}
    for name, value in told.items():
        with pytest.raises(UnusableImage, match=f"(?i){value}"):
            Mammogram(shape=(80, 64)).read(Candidate((source,), "x", {name: value}))
    image, _ = Mammogram(shape=(80, 64)).read(Candidate((source,), "x", {}))
    other, _ = Mammogram(shape=(80, 64)).read(Candidate((source,), "x", {"chest_wall": "left"}))
    mirrored, _ = Mammogram(shape=(80, 64)).read(Candidate((source,), "x", {"chest_wall": "r"}))
    pair = sorted([np.array_equal(image.pixels, one.pixels) for one in (other, mirrored)])
    assert pair == [False, True]
    assert np.array_equal(other.pixels[:, ::-1], mirrored.pixels)


def test_a_case_that_the_table_lacks_is_left_out_and_rows_without_a_file_are_named(tmp_path, capsys):
    raw = tmp_path / "raw"
    for i in range(3):
        draw(raw / f"{i}.png", i)
    rows = ("file,view_position,side,age", "0.png,CC,L,4", ".\\1.png,MLO,R,5", "gone.png,CC,L,6", ",CC,L,7")
    (raw / "facts.csv").write_text("\n".join(rows))
    progress.quiet = False
    words = ["prepare", str(raw), "--modality", "mammogram", "--shape", "80,64", "--out", str(tmp_path / "store")]
    assert main([*words, "--workers", "1", "--column", "laterality=side", "--fact", "chest_wall=left"]) == 0
    told = capsys.readouterr().out
    assert "facts.csv: 4 rows, 2 used, 2 unmatched (row 4 names gone.png, which is not a candidate" in told
    assert "columns that are not read: age; --column NAME=COLUMN" in told
    unmatched = read_lines(tmp_path / "store" / "unmatched.jsonl")
    assert unmatched == [{"row": 4, "file": "gone.png"}, {"row": 5, "file": ""}]
    (row,) = read_lines(tmp_path / "store" / "quarantine.jsonl")
    assert (row["file"], row["reason"]) == ("2.png", "not in the table of facts")


def test_missing_labels_are_no_class_and_equal_numbers_are_one(tmp_path):
    import nibabel as nib

    from ganatomy.modalities.brain_mri import BrainMRI

    raw, z = tmp_path / "raw", np.indices((24, 24, 24))
    raw.mkdir()
    rows = ["file,gold"]
    for i, gold in enumerate(["1", "1.0", "nan", "NA", "2", "2.0"]):
        ball = (((z - 12) ** 2).sum(0) < 80) * np.random.default_rng(i).integers(500, 1500, z[0].shape)
        nib.save(nib.Nifti1Image(ball.astype(np.int16), np.diag([8.0, 8.0, 8.0, 1.0])), raw / f"{i}.nii.gz")
        rows.append(f"{i}.nii.gz,{gold}")
    (raw / "facts.csv").write_text("\n".join(rows))
    kind = BrainMRI(FactSource(columns={"gold": "gold"}), (32, 32, 32))
    store = prepare(raw, kind, tmp_path / "store", workers=0)
    assert store.manifest.facts == {"gold": {"1": 2, "2": 2}}
    assert store.manifest.quarantined == {"no label": 2}


def test_a_mammogram_has_the_labels_that_columns_and_constants_name(tmp_path):
    """Numbers as well: a row without one is left out and counted; the view still comes from the header."""
    write_cohort("mammogram", tmp_path / "raw", 8, seed=0, shape=(80, 64), workers=1)
    table = tmp_path / "raw" / "truth.csv"
    rows = table.read_text().splitlines()
    cells = rows[1].split(",")
    cells[rows[0].split(",").index("density_percent")] = "NaN"
    table.write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]))
    facts = FactSource(table, {"density": "density_percent", "laterality": "laterality"}, {"maker": "A"})
    store = prepare(tmp_path / "raw", Mammogram(facts, (80, 64)), tmp_path / "store", workers=1)
    assert list(store.manifest.facts) == ["view_position", "laterality", "density", "maker"]
    assert store.manifest.cases == 31
    assert store.manifest.quarantined == {"no label": 1}
    assert list_number_facts(store.manifest.facts) == {"density"}
    assert {case["facts"]["maker"] for case in store.cases} == {"A"}
