"""Series to volumes: what is regular is read exactly, each fault is named, nothing is stacked silently."""

import copy
import io

import highdicom as hd
import numpy as np
import pydicom
import pytest

from ganatomy.dicom import series, write, write_series
from ganatomy.dicom.grouping import group_files
from ganatomy.dicom.series import read_volume
from ganatomy.dicom.volume_class import CT, MR
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.person import FOLDER, Person

SHAPE, SPACING = (12, 10, 14), (2.5, 1.25, 0.75)
RECORD = {"generator": "test", "snapshot_sha256": "0" * 64, "seed": 1}


def _volume():
    """Nothing symmetric: values rise upwards, backwards and to the left."""
    z, y, x = np.indices(SHAPE)
    return (50 * z + 7 * y + 3 * x - 1000).astype(np.float32)


def _slices(modality="CT", voxels=None):
    subject = write.Subject(1, "PHANTOM", "test", "20260101")
    voxels = _volume() if voxels is None else voxels
    return list(write_series.make_series_instances(voxels, SPACING, {"CT": CT, "MR": MR}[modality], subject, RECORD))


def _save(folder, slices):
    for i, ds in enumerate(slices):
        write.save_dataset(ds, folder / f"{i:03d}.dcm")
    return tuple(sorted(folder.iterdir()))


def _read(paths, modality="CT"):
    return read_volume(paths, modality)[0]


def test_a_series_comes_back_exactly_whatever_the_order_of_files(tmp_path):
    slices = _slices()
    for ds, number in zip(slices, np.random.default_rng(0).permutation(len(slices)), strict=True):
        ds.InstanceNumber = int(number)
    voxels, spacing, oblique, _ = _read(_save(tmp_path, slices[::-1]))
    assert np.array_equal(voxels, _volume())
    assert spacing == pytest.approx(SPACING)
    assert oblique == 0


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ([0, 1, 0, 0, 0, -1], lambda v: v),  # sagittal: rows to the back, columns to the feet
        ([1, 0, 0, 0, 0, -1], lambda v: v),  # coronal
        ([-1, 0, 0, 0, 1, 0], lambda v: v),  # axial, seen from the head
    ],
)
def test_other_planes_come_to_the_same_orientation(tmp_path, orientation, turn):
    """A volume of a known linear function of position: after reading, values must rise along S, P and L."""
    row, column = np.array(orientation, dtype=float).reshape(2, 3)
    normal = np.cross(row, column)
    slices = _slices()
    for k, ds in enumerate(slices):
        r, c = np.indices((ds.Rows, ds.Columns))
        place = k * 2.0 * normal
        ds.ImageOrientationPatient, ds.ImagePositionPatient = list(orientation), [float(v) for v in place]
        ds.PixelSpacing = [1.0, 1.0]
        positions = place + r[..., None] * column + c[..., None] * row  # millimetres L, P, S
        write.add_pixels(ds, np.rint(1500 + positions @ np.array([3.0, 7.0, 50.0])).astype(np.uint16), 12)
    voxels, *_ = _read(_save(tmp_path, slices))
    for axis, slope in ((0, 50), (1, 7), (2, 3)):
        steps = np.diff(voxels, axis=axis)
        assert np.allclose(steps, steps.flat[0])
        assert steps.flat[0] in (slope, 2 * slope)


def _broken(change):
    slices = _slices()
    return change(slices) or slices


def _tilt(slices):
    for k, ds in enumerate(slices):
        x, y, z = (float(v) for v in ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y + k * 2.5 * np.tan(np.radians(15)), z]


def _double(slices):
    """Another picture at the place of one."""
    again = copy.deepcopy(slices[3])
    again.SOPInstanceUID = write.make_uid("again")
    return [*slices, again]


def _without_position(slices):
    del slices[4].ImagePositionPatient


def _localizer(slices):
    for ds in slices:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return slices[:1]


def _spread(slices):
    slices[-1].ImagePositionPatient[2] += 0.8


def _no_rescale(slices):
    for ds in slices:
        del ds.RescaleIntercept
        del ds.RescaleSlope
        del ds.RescaleType


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (lambda s: s[:5] + s[6:], "missing slices", "1 at 1 places, 2.5 mm apart"),
        (lambda s: s[:4] + s[6:8] + s[9:], "missing slices", "3 at 2 places"),
        (_double, "duplicate slices", "1 of 13"),
        (_tilt, "gantry tilt", "15.0 degrees"),
        (_without_position, "no position", "Image Position"),
        (_localizer, "localizer", "scout"),
        (_spread, "uneven slices", "apart"),
        (_no_rescale, "not Hounsfield units", "Rescale Intercept"),
        (lambda s: s[:5], "too few slices", "5; 8"),
    ],
)
def test_each_fault_is_named(tmp_path, change, reason, words):
    paths = _save(tmp_path, _broken(change))
    with pytest.raises(UnusableImage, match=words) as fault:
        _read(paths)
    assert fault.value.kind == reason


def test_the_wrong_modality_is_named(tmp_path):
    with pytest.raises(UnusableImage, match="Modality is MR, CT is needed"):
        _read(_save(tmp_path, _slices("MR", np.abs(_volume()) / 2000)))


def test_two_series_in_one_folder_are_two_volumes(tmp_path):
    first, second = _slices(), _slices(voxels=_volume() / 2)
    for ds in second:
        ds.SeriesInstanceUID = write.make_uid("another")
        ds.SOPInstanceUID = write.make_uid("another", ds.InstanceNumber)
    mixed = [ds for pair in zip(first, second, strict=True) for ds in pair]
    found = group_files(_save(tmp_path, mixed))
    assert sorted(len(group.paths) for group in found) == [12, 12]
    read = [_read(tuple(group.paths))[0] for group in found]
    assert {float(v.max()) for v in read} == {float(_volume().max()), float(np.rint(_volume().max() / 2))}


def test_other_sizes_localizers_and_rubbish_stand_apart(tmp_path):
    slices = _slices()
    write.add_pixels(slices[0], np.zeros((5, 5), np.uint16), 12)
    slices[1].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    paths = _save(tmp_path, slices)
    (tmp_path / "rubbish.dcm").write_bytes(b"\0" * 128 + b"DICMrubbish")
    assert sorted(len(group.paths) for group in group_files([*paths, tmp_path / "rubbish.dcm"])) == [1, 1, 1, 10]


def test_blank_identifiers_do_not_hinder_reading(tmp_path):
    slices = _slices()
    paths = _save(tmp_path, slices)
    for path in paths:  # written by hand: our own writer refuses such files
        ds = pydicom.dcmread(path)
        ds.SeriesInstanceUID = ds.StudyInstanceUID = ds.PatientID = ""
        ds.save_as(path)
    found = group_files(paths)
    assert len(found) == 1
    (voxels, *_), who, _ = read_volume(tuple(found[0].paths), "CT")
    assert np.array_equal(voxels, _volume())
    assert who == Person(str(tmp_path), FOLDER)


@pytest.mark.filterwarnings("ignore")
def test_enhanced_ct_is_read_like_the_classic_series(tmp_path):
    slices = [pydicom.dcmread(path) for path in _save(tmp_path / "classic", _slices())]
    enhanced = hd.legacy.LegacyConvertedEnhancedCTImage(
        slices, series_instance_uid=hd.UID(), series_number=2, sop_instance_uid=hd.UID(), instance_number=1
    )
    buffer = io.BytesIO()
    enhanced.save_as(buffer)
    (tmp_path / "enhanced.dcm").write_bytes(buffer.getvalue())
    found = group_files([tmp_path / "enhanced.dcm"])
    voxels, spacing, *_ = _read(tuple(found[0].paths))
    assert np.array_equal(voxels, _volume())
    assert spacing == pytest.approx(SPACING)


def test_a_real_ct_series(shared):
    paths = [path for path in (shared / "ct_lung").rglob("*") if path.suffix.lower() in (".dcm", "")]
    group = max(
        group_files([p for p in paths if p.is_file() and series.read.is_dicom(p)]), key=lambda found: len(found.paths)
    )
    voxels, spacing, *_ = _read(tuple(group.paths))
    assert voxels.shape == (64, 512, 512)
    assert spacing == pytest.approx((5, 0.842, 0.842), abs=1e-3)
    assert -1100 < voxels.min() <= -1000
    assert voxels[:, 256:, :].mean() > voxels[:, :100, :].mean()  # the patient lies on the back, air above
