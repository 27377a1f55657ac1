"""Tables of features: both formats hold the same, CSV needs no package, and a table that is none is refused."""

import sys

import numpy as np
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from ganatomy.data.tables import check_table_name, read_features, write_table
from ganatomy.errors import Refused

ROWS = [
    {"file": 'a, "b".dcm', "patient": "0012", "ssim": np.float64(0.1), "z0000": 1 / 3, "z0001": -2e-30},
    {"file": "ü.dcm", "patient": "7", "gold": "2", "ssim": None, "z0000": float(np.float32(0.1)), "z0001": 5.0},
]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_is_read_as_it_was_written(name, tmp_path):
    write_table(ROWS, tmp_path / name)
    keys, patients, codes = read_features(tmp_path / name, "file")
    assert keys == [row["file"] for row in ROWS]
    assert patients == ["0012", "7"]  # texts, whatever they look like
    np.testing.assert_array_equal(codes, [[row["z0000"], row["z0001"]] for row in ROWS])


def test_other_readers_find_numbers_texts_and_empty_cells(tmp_path):
    for name, read in (("t.csv", arrow_csv.read_csv), ("t.parquet", parquet.read_table)):
        write_table(ROWS, tmp_path / name)
        first, second = read(tmp_path / name).to_pylist()
        assert (first["file"], first["ssim"], first["gold"] or None) == (ROWS[0]["file"], 0.1, None)
        assert (second["file"], second["ssim"], str(second["gold"])) == (ROWS[1]["file"], None, "2")


def test_without_pyarrow_csv_works_and_parquet_is_refused_before_the_work(tmp_path, monkeypatch):
    write_table(ROWS, tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write_table(ROWS, tmp_path / "t.csv")
    assert read_features(tmp_path / "t.csv", "file")[1] == ["0012", "7"]
    check_table_name(tmp_path / "t.csv")
    for act in (check_table_name, lambda path: write_table(ROWS, path), lambda path: read_features(path, "file")):
        with pytest.raises(Refused, match=r"needs the package pyarrow; .*'ganatomy\[parquet\]'.*\.csv"):
            act(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ("file,patient,z0000\na,b\n", "cannot be read"),
        ("file,patient,z0000\na,b,\n", "no number"),
        ("file,patient,zebra\na,b,1\n", "no latent code"),
        ("file,z0000\na,1\n", "no latent code, file or patient"),
    ],
)
def test_what_is_no_table_of_features_is_refused(text, reason, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(Refused, match=reason):
        read_features(tmp_path / "t.csv", "file")
