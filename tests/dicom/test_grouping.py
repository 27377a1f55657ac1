"""What is one volume: one series over folders, divided only where the whole is not regular, never a part in silence."""

import copy
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import numpy as np
import pytest

from ganatomy.dicom import grouping, write, write_series
from ganatomy.dicom.grouping import group_files
from ganatomy.dicom.series import read_volume
from ganatomy.dicom.volume_class import CT, MR
from ganatomy.imaging.image import UnusableImage
from ganatomy.machine import progress
from ganatomy.modalities.chest_ct import ChestCT

COUNT = 16
SHAPE, SPACING = (COUNT, 10, 14), (2.0, 1.0, 1.0)


def _volume():
    z, y, x = np.indices(SHAPE)
    return (50 * z + 7 * y + 3 * x - 1000).astype(np.float32)


def _slices(volume_class=CT, voxels=None, name="test"):
    subject = write.Subject(1, "PHANTOM", name, "20260101")
    record = {"generator": "test", "snapshot_sha256": "0" * 64, "seed": 1}
    voxels = _volume() if voxels is None else voxels
    return list(write_series.make_series_instances(voxels, SPACING, volume_class, subject, record))


def _save(folder, slices, place=lambda i: "", name="{:03d}.dcm"):
    for i, ds in enumerate(slices):
        path = folder / place(i) / name.format(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_headers_of_many_files_are_listed_side_by_side_with_the_same_result(tmp_path, monkeypatch):
    paths = _save(tmp_path / "a", _slices()) + _save(tmp_path / "b", _slices(MR, np.zeros(SHAPE, np.float32)))
    (tmp_path / "b" / "text.dcm").write_text("no header")
    (tmp_path / "b" / "cut.dcm").write_bytes(paths[0].read_bytes()[:300])
    paths += sorted((tmp_path / "b").glob("[tc]*.dcm"))
    one_by_one = group_files(paths)
    assert sorted(len(group.paths) for group in one_by_one) == [1, 1, COUNT, COUNT]
    monkeypatch.setattr(grouping, "MANY_FILES", 2)
    monkeypatch.setattr(grouping, "CHUNK", 5)
    monkeypatch.setattr(grouping.os, "cpu_count", lambda: 2)
    begun, real = [], grouping.worker_pool
    monkeypatch.setattr(grouping, "worker_pool", lambda workers: begun.append(workers) or real(workers))
    assert group_files(paths) == one_by_one
    assert begun == [2]


def test_headers_are_listed_by_one_process_where_a_worker_ends(tmp_path, monkeypatch, capsys):
    paths = _save(tmp_path, _slices())
    one_by_one = group_files(paths)

    @contextmanager
    def broken(workers):
        raise BrokenProcessPool("killed")
        yield

    monkeypatch.setattr(grouping, "MANY_FILES", 2)
    monkeypatch.setattr(grouping.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(grouping, "worker_pool", broken)
    monkeypatch.setattr(progress, "quiet", False)
    assert group_files(paths) == one_by_one
    assert "listed again by one process" in capsys.readouterr().out


def _read(group, modality="CT"):
    found, _, doubts = read_volume((*group.paths, *group.copies), modality)
    return found[0], {doubt.kind: doubt.detail for doubt in doubts}


def _change(edit):
    slices = _slices()
    for i, ds in enumerate(slices):
        edit(ds, i)
    return slices


def _set(**values):
    def edit(ds, i):
        for name, value in values.items():
            setattr(ds, name, value(i))

    return edit


def _jitter(ds, i):
    e = (0.0002, 0.0009)[i % 2]
    ds.ImageOrientationPatient = [1, e, 0, -e, 1, 0]


def _short_cosines(ds, i):
    """Rows 20 degrees off, written with three decimals: not quite of unit length."""
    ds.ImageOrientationPatient = [0.94, 0.342, 0, -0.342, 0.94, 0]


def _blank_half(ds, i):
    ds.EchoNumbers = 1 if i % 3 else None


def _blank_patient(ds, i):
    ds.PatientID = "P" if i < COUNT // 2 else ""


@pytest.mark.parametrize(
    "edit",
    [
        _set(AcquisitionNumber=lambda i: i + 1),
        _set(AcquisitionNumber=lambda i: 1 + (i >= COUNT // 2)),
        _set(AcquisitionNumber=lambda i: None if i % 2 else 1),
        _set(TemporalPositionIdentifier=lambda i: i + 1),
        _set(PixelSpacing=lambda i: ["1.0", "1.000000"] if i % 2 else ["1", "1.0002"]),
        _set(FrameOfReferenceUID=lambda i: f"1.2.3.{i + 1}"),
        _set(StudyInstanceUID=lambda i: f"1.2.4.{i + 1}"),
        _blank_half,
        _blank_patient,
        _jitter,
        _short_cosines,
    ],
)
def test_a_regular_series_is_one_volume_whatever_else_its_headers_say(tmp_path, edit):
    (group,) = group_files(_save(tmp_path, _change(edit)))
    voxels, doubts = _read(group)
    assert (len(group.paths), group.remark) == (COUNT, "")
    assert np.array_equal(voxels, _volume())
    assert not doubts


@pytest.mark.parametrize("step", [0.625, 0.7, 1.25, 2.5, 0.33])
def test_positions_that_are_rounded_to_a_tenth_are_even(tmp_path, step):
    def edit(ds, i):
        ds.ImagePositionPatient = [0, 0, f"{i * step:.1f}"]

    (group,) = group_files(_save(tmp_path, _change(edit)))
    assert np.array_equal(_read(group)[0], _volume())
    slices = _change(edit)
    (group,) = group_files(_save(tmp_path / "gap", slices[:7] + slices[8:]))
    with pytest.raises(UnusableImage, match="1 at 1 places"):
        _read(group)


def test_a_series_over_folders_is_one_volume_by_the_name_of_what_holds_them(tmp_path):
    _save(tmp_path / "a", _slices(), lambda i: f"DICOM/{i // 5:08d}")
    (candidate,) = ChestCT(shape=(16, 16, 16)).list_candidates(tmp_path)
    assert candidate.name == "a/DICOM"
    assert np.array_equal(ChestCT(shape=(16, 16, 16)).read(candidate)[0].pixels, _volume())


def test_copies_of_slices_count_once_and_are_told(tmp_path):
    slices = _slices()
    _save(tmp_path, slices)
    _save(tmp_path, slices[3:6], name="{:03d} (1).dcm")
    (group,) = group_files(path for path in tmp_path.iterdir())
    voxels, doubts = _read(group)
    assert np.array_equal(voxels, _volume())
    assert (len(group.paths), len(group.copies)) == (COUNT, 3)
    assert doubts["copies of slices"].startswith("3 of 19 files")


def test_equal_identifiers_with_other_pixels_are_refused(tmp_path):
    slices = _slices()
    other = copy.deepcopy(slices[4])
    write.add_pixels(other, other.pixel_array + 1, 12)
    (group,) = group_files(_save(tmp_path, [*slices, other]))
    with pytest.raises(UnusableImage, match=r"004\.dcm and 016\.dcm have the same SOP Instance UID and diff"):
        _read(group)


def test_persons_whose_identifiers_are_all_alike_are_not_mixed(tmp_path):
    """A program that gives all persons the same UIDs: each folder is a volume, and that is told."""
    first, second = _slices(), _slices(voxels=_volume() / 2)
    for ds in (*first, *second):
        ds.PatientID = ""
    for one, other in zip(first, second, strict=True):
        other.SOPInstanceUID, other.SeriesInstanceUID = one.SOPInstanceUID, one.SeriesInstanceUID
        other.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    _save(tmp_path / "a", first)
    groups = group_files(_save(tmp_path / "b", second) + sorted((tmp_path / "a").iterdir()))
    assert [len(group.paths) for group in groups] == [COUNT, COUNT]
    assert all("the same SOP Instance UIDs lie in 2 folders" in group.remark for group in groups)


def test_two_persons_with_one_series_uid_are_two_volumes(tmp_path):
    first, second = _slices(), _slices(voxels=_volume() / 2)
    for one, other in zip(first, second, strict=True):
        one.PatientID, other.PatientID = "A", "B"
        other.SOPInstanceUID += ".1"
        other.SeriesInstanceUID = one.SeriesInstanceUID
    groups = group_files(_save(tmp_path, [*first, *second]))
    assert [len(group.paths) for group in groups] == [COUNT, COUNT]
    assert not any(group.remark for group in groups)


def _second_pass(edit, voxels=None):
    """The same places again, in the same series."""
    first, second = _slices(), _slices(voxels=_volume() / 2 if voxels is None else voxels)
    for i, (one, other) in enumerate(zip(first, second, strict=True)):
        other.SOPInstanceUID, other.SeriesInstanceUID = f"{one.SOPInstanceUID}.2", one.SeriesInstanceUID
        edit(one, 0, i)
        edit(other, 1, i)
    return [*first, *second]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("AcquisitionNumber", (1, 2)),
        ("EchoNumbers", (1, 2)),
        ("TemporalPositionIdentifier", (1, 2)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "AXIAL"], ["ORIGINAL", "PRIMARY", "OTHER"])),
        ("ConvolutionKernel", ("B30f", "B70f")),
        ("EchoTime", ("2.1", "4.2")),
    ],
)
def test_two_volumes_in_one_series_are_two_and_each_says_so(tmp_path, name, values):
    slices = _second_pass(lambda ds, which, i: setattr(ds, name, values[which]))
    groups = group_files(_save(tmp_path, slices))
    assert [len(group.paths) for group in groups] == [COUNT, COUNT]
    assert all(f"16 of 32 files of a series; divided by {name} into 2" in group.remark for group in groups)
    assert sorted(float(_read(group)[0].max()) for group in groups) == sorted(
        {float(np.rint(_volume().max() / 2)), float(_volume().max())}
    )


def test_two_attributes_may_be_needed(tmp_path):
    first = _second_pass(lambda ds, which, i: setattr(ds, "EchoNumbers", which + 1))
    second = _second_pass(lambda ds, which, i: setattr(ds, "EchoNumbers", which + 1))
    for one, other in zip(first, second, strict=True):
        one.TemporalPositionIdentifier, other.TemporalPositionIdentifier = 1, 2
        other.SOPInstanceUID += ".7"
    groups = group_files(_save(tmp_path, [*first, *second]))
    assert [len(group.paths) for group in groups] == [COUNT] * 4
    assert "EchoNumbers and TemporalPositionIdentifier" in groups[0].remark


def test_the_remark_becomes_a_doubt_of_the_image(tmp_path):
    _save(tmp_path, _second_pass(lambda ds, which, i: setattr(ds, "EchoNumbers", which + 1)))
    kind = ChestCT(shape=(16, 16, 16))
    first, _ = kind.list_candidates(tmp_path)
    (doubt,) = kind.read(first)[0].doubts
    assert (doubt.kind, first.name) == ("part of a series", ".#1")
    assert "divided by EchoNumbers" in doubt.detail


def _gap(ds, i):
    ds.AcquisitionNumber = 1 + (i >= COUNT // 2)
    ds.ImagePositionPatient = [0, 0, i * 2.0 + (200 if i >= COUNT // 2 else 0)]


def _overlap(ds, i):
    ds.AcquisitionNumber = 1 + (i >= COUNT // 2)
    ds.ImagePositionPatient = [0, 0, (i - (i >= COUNT // 2)) * 2.0]


def _other_matrix(ds, i):
    if i >= COUNT // 2:
        write.add_pixels(ds, np.zeros((12, 14), np.uint16), 12)


def _other_spacing(ds, i):
    ds.PixelSpacing = [1, 1] if i < COUNT // 2 else [1.01, 1.01]


def _other_angle(ds, i):
    e = 0.0 if i < COUNT // 2 else 0.01
    ds.ImageOrientationPatient = [1, e, 0, -e, 1, 0]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_gap, "missing slices"),
        (_overlap, "duplicate slices"),
        (_other_matrix, "different slices"),
        (_other_spacing, "different slices"),
        (_other_angle, "different orientations"),
    ],
)
def test_a_piece_of_a_volume_is_never_taken_for_one(tmp_path, edit, reason):
    (group,) = group_files(_save(tmp_path, _change(edit)))
    with pytest.raises(UnusableImage) as caught:
        _read(group)
    assert caught.value.kind == reason
    assert ".dcm" in caught.value.detail


def test_a_volume_with_some_files_that_do_not_belong_says_so(tmp_path):
    slices = _slices()
    stray = [copy.deepcopy(slices[0]) for _ in range(3)]
    for i, ds in enumerate(stray):
        ds.SOPInstanceUID += f".{i + 1}"
        ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    groups = sorted(group_files(_save(tmp_path, [*slices, *stray])), key=lambda group: len(group.paths))
    assert [len(group.paths) for group in groups] == [3, COUNT]
    assert groups[-1].remark == "16 of 19 files of a series"


def test_a_slice_that_is_shifted_in_its_plane_is_named(tmp_path):
    slices = _slices()
    slices[5].ImagePositionPatient[0] += 3
    (group,) = group_files(_save(tmp_path, slices))
    with pytest.raises(UnusableImage, match=r"005\.dcm lies .* mm beside the line of the others"):
        _read(group)


@pytest.mark.parametrize("types", [["P"], ["M", "REAL"], ["ADC"], ["PROJECTION IMAGE"]])
def test_maps_phases_and_projections_are_no_volumes(tmp_path, types):
    slices = _slices(MR, np.abs(_volume()) / 2000)
    for ds in slices:
        ds.ImageType = ["ORIGINAL", "PRIMARY", *types]
    (group,) = group_files(_save(tmp_path, slices))
    with pytest.raises(UnusableImage, match="Image Type has"):
        _read(group, "MR")


@pytest.mark.parametrize("slope", ["absent", None])
def test_a_missing_slope_is_one_and_told(tmp_path, slope):
    slices = _slices()
    for ds in slices:
        if slope is None:
            ds.RescaleSlope = None
        else:
            del ds.RescaleSlope
    (group,) = group_files(_save(tmp_path, slices))
    voxels, doubts = _read(group)
    assert np.array_equal(voxels, _volume())
    assert doubts["no rescale slope"].startswith("16 of 16 slices")


def test_a_padding_value_that_is_water_is_no_padding(tmp_path):
    voxels = np.where(_volume() > 0, 0, _volume())
    slices = _slices(voxels=voxels)
    for ds in slices:
        ds.add_new("PixelPaddingValue", "US", 1024)
    (group,) = group_files(_save(tmp_path, slices))
    read, doubts = _read(group)
    assert np.array_equal(read, voxels)
    assert "padding value of tissue" in doubts


@pytest.mark.parametrize(("vr", "value"), [("US", 63536), ("SS", -2000)])
def test_a_padding_value_of_the_wrong_sign_is_padding(tmp_path, vr, value):
    slices = _slices()
    for ds in slices:
        stored = ds.pixel_array.astype(np.int16) - 1024
        stored[:3, :3] = -2000
        ds.PixelData, ds.PixelRepresentation = stored.tobytes(), 1
        ds.BitsStored, ds.HighBit, ds.RescaleIntercept = 16, 15, 0
        ds.add_new("PixelPaddingValue", vr, value)
    (group,) = group_files(_save(tmp_path, slices))
    expected = _volume()
    expected[:, :3, :3] = -1024
    assert np.array_equal(_read(group)[0], expected)
