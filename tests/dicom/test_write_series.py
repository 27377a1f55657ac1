"""Classic CT and MR series: valid, and read right by tools that are not ours."""

import subprocess
import sysconfig
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from ganatomy.dicom import write, write_series

SHAPE, SPACING = (10, 12, 16), (2.0, 1.5, 1.0)
SUBJECT = write.Subject(3, "SYNTHETIC", "test", "20260101")
RECORD = {"generator": "hagan", "snapshot_sha256": "a" * 64, "seed": 0, "index": 0}


def _volume(modality):
    z, y, x = np.indices(SHAPE)
    values = 100 * z + 10 * y + x
    return (values - 1000 if modality == "CT" else values / values.max()).astype(np.float32)


@pytest.fixture(params=["CT", "MR"])
def written(request, tmp_path):
    for ds in write_series.instances(_volume(request.param), SPACING, request.param, SUBJECT, RECORD):
        write.save(ds, tmp_path / f"{ds.InstanceNumber:03d}.dcm")
    return request.param, tmp_path


def test_the_validator_finds_no_error(written):
    tool = Path(sysconfig.get_path("scripts")) / "dciodvfy"
    if not tool.exists():
        pytest.skip("dciodvfy of the package dicom3tools is not installed")
    for path in sorted(written[1].iterdir())[:2]:
        told = subprocess.run([tool, path], capture_output=True, text=True, check=False)
        assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]


def test_highdicom_reads_the_same_volume(written):
    modality, folder = written
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    found = hd.get_volume_from_series(slices).to_patient_orientation("HPL")
    expected = _volume(modality)
    if modality == "MR":
        expected = np.rint(expected * write_series.MR_FULL)
    assert np.array_equal(found.array, expected)
    assert found.spacing == pytest.approx(SPACING)


def test_marked_synthetic_and_without_a_patient(written):
    for path in written[1].iterdir():
        ds = pydicom.dcmread(path)
        assert ds.SyntheticData == "YES"
        assert ds.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert str(ds.PatientName) == "SYNTHETIC^000003"
        assert "SYNTHETIC" in ds.SeriesDescription


def test_one_study_one_series_one_frame_and_an_instance_a_slice(written):
    found = [pydicom.dcmread(path) for path in written[1].iterdir()]
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({ds[name].value for ds in found}) == 1
    assert len({ds.SOPInstanceUID for ds in found}) == len(found)


def test_hounsfield_units_are_kept_to_rounding():
    volume = np.array([-1024.0, -950.4, 0.4, 3071.0, 5000.0, -2000.0], dtype=np.float32).reshape(1, 2, 3)
    (ds,) = write_series.instances(volume, SPACING, "CT", SUBJECT, RECORD)
    assert (np.frombuffer(ds.PixelData, "<u2").astype(int) + int(ds.RescaleIntercept)).tolist() == [
        -1024,
        -950,
        0,
        3071,
        3071,
        -1024,
    ]


def test_a_series_needs_a_spacing():
    with pytest.raises(ValueError, match="three spacings"):
        list(write_series.instances(_volume("CT"), (1.0, 0.0, 1.0), "CT", SUBJECT, RECORD))
