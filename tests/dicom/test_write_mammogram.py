"""What we write is valid, marked synthetic, reads back, and depends on its content alone."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from tools import tool

from ganatomy.dicom import write, write_mammogram
from ganatomy.dicom.mammogram import read_mammogram

SUBJECT = write.Subject(7, "SYNTHETIC", "a run", "20260101")
RECORD = {"generator": "pggan-mammogram", "snapshot_sha256": "ab" * 32, "seed": 3, "index": 11, "truncation": None}


def _picture(laterality):
    left = np.zeros((80, 64), np.float32)
    left[:, :40] = np.linspace(0.2, 1, 40)[::-1]
    return left[:, ::-1] if laterality == "R" else left


@pytest.mark.parametrize(("laterality", "view"), write_mammogram.VIEW_ORDER)
def test_no_error_in_the_validator_and_the_same_picture_back(laterality, view, tmp_path):
    ds = write_mammogram.make_mammogram_instance(_picture(laterality), (0.2, 0.2), view, laterality, SUBJECT, RECORD)
    path = tmp_path / "one.dcm"
    write.save_dataset(ds, path)
    told = subprocess.run([tool("dciodvfy"), "-new", path], capture_output=True, text=True, check=False)
    assert "Error" not in told.stderr + told.stdout
    image, _ = read_mammogram(path)
    assert image.facts == {"view_position": view, "laterality": laterality}
    np.testing.assert_allclose(image.pixels, _picture("L"), atol=1 / 4095)


def test_a_study_is_consistent(tmp_path):
    for laterality, view in write_mammogram.VIEW_ORDER:
        ds = write_mammogram.make_mammogram_instance(
            _picture(laterality), (0.2, 0.2), view, laterality, SUBJECT, RECORD
        )
        write.save_dataset(ds, tmp_path / f"{laterality}{view}.dcm")
    files = sorted(tmp_path.glob("*.dcm"))
    assert subprocess.run([tool("dcentvfy"), *files], capture_output=True, check=False).returncode == 0
    sets = [dcmread(file) for file in files]
    assert len({ds.StudyInstanceUID for ds in sets}) == 1
    assert len({ds.SeriesInstanceUID for ds in sets}) == len({ds.SOPInstanceUID for ds in sets}) == 4
    assert [dcmread(tmp_path / f"{n}.dcm").PatientOrientation for n in ("RCC", "LCC", "RMLO", "LMLO")] == [
        ["P", "L"],
        ["A", "R"],
        ["P", "FL"],
        ["A", "FR"],
    ]


def test_it_says_that_it_is_synthetic_and_how_it_was_made():
    ds = write_mammogram.make_mammogram_instance(_picture("L"), (0.2, 0.2), "CC", "L", SUBJECT, RECORD)
    assert ds.SyntheticData == "YES"
    assert ds.ContentQualification == "RESEARCH"
    assert "SYNTHETIC" in str(ds.PatientName)
    assert "SYNTHETIC" in ds.SeriesDescription
    assert "not one woman's" in ds.ImageComments
    item = ds.ContributingEquipmentSequence[0]
    assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
    assert json.loads(item.ContributionDescription) == RECORD


def test_uids_follow_the_content():
    one = write_mammogram.make_mammogram_instance(_picture("L"), (0.2, 0.2), "CC", "L", SUBJECT, RECORD)
    same = write_mammogram.make_mammogram_instance(_picture("L"), (0.2, 0.2), "CC", "L", SUBJECT, RECORD)
    other = write_mammogram.make_mammogram_instance(_picture("L") * 0.9, (0.2, 0.2), "CC", "L", SUBJECT, RECORD)
    assert one.SOPInstanceUID == same.SOPInstanceUID != other.SOPInstanceUID
    assert one.SOPInstanceUID.startswith("2.25.")
    assert len(one.SOPInstanceUID) <= 64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"view": "ML"}, "laterality and view"),
        ({"laterality": "B"}, "laterality and view"),
        ({"spacing": (0.2,)}, "two positive"),
        ({"record": RECORD | {"note": "x" * 1024}}, "room for 1024"),
    ],
)
def test_a_valid_object_or_an_error(change, words):
    given = {
        "pixels": _picture("L"),
        "spacing": (0.2, 0.2),
        "view": "CC",
        "laterality": "L",
        "subject": SUBJECT,
        "record": RECORD,
    }
    with pytest.raises(ValueError, match=words):
        write_mammogram.make_mammogram_instance(**(given | change))


def test_no_half_file_when_writing_fails(tmp_path, monkeypatch):
    ds = write_mammogram.make_mammogram_instance(_picture("L"), (0.2, 0.2), "CC", "L", SUBJECT, RECORD)

    def full(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(ds), "save_as", full)
    with pytest.raises(ValueError, match="disk is full"):
        write.save_dataset(ds, tmp_path / "one.dcm")
    assert not list(tmp_path.iterdir())
