"""DICOM segmentations as masks of series: placed by their headers, sparse, overlapping, and those that do not fit."""

import highdicom
import numpy as np
import pytest
from highdicom.sr.coding import CodedConcept
from label_maps import write_chests
from pydicom import dcmread
from pydicom.uid import generate_uid

from ganatomy.data.prepare import prepare
from ganatomy.machine.durable import read_lines
from ganatomy.phantoms.cohort import write_cohort

SHAPE = (32, 32, 32)
LABELS = {"body": "../{stem}_seg.dcm:1", "lesion": "../{stem}_seg.dcm:2"}
TISSUE = CodedConcept("85756007", "SCT", "Tissue")


def _draw_marker():
    """Masks (2, slices, rows, columns) without symmetry that overlap; most slices are empty."""
    masks = np.zeros((2, *SHAPE), dtype=np.uint8)
    masks[0, 5:9, 3:14, 20:27] = masks[0, 12:15, 5:8, 4:20] = 1
    masks[1, 7:11, 10:18, 22:30] = 1
    return masks


def _read_series(folder):
    return sorted(map(dcmread, folder.glob("*.dcm")), key=lambda ds: ds.ImagePositionPatient[2])


def _make_segmentation(series, masks, kind="BINARY"):
    describe = highdicom.seg.SegmentDescription
    people = highdicom.AlgorithmIdentificationSequence("drawn", TISSUE, "1")
    return highdicom.seg.Segmentation(
        series,
        masks.transpose(1, 2, 3, 0),
        kind,
        [describe(i + 1, f"segment {i}", TISSUE, TISSUE, "AUTOMATIC", people) for i in range(len(masks))],
        generate_uid(),
        100,
        generate_uid(),
        1,
        "test",
        "test",
        "1",
        "1",
    )


@pytest.fixture
def series(tmp_path):
    write_cohort("chest_ct", tmp_path / "raw", 2, shape=SHAPE, workers=1)
    return sorted(path for path in (tmp_path / "raw").iterdir() if path.is_dir())


def _prepare(raw, out, labels=None):
    return prepare(raw, "chest_ct", out, 0, shape=SHAPE, labels=labels or LABELS)


def _read_reasons(store):
    return {row["file"]: row["reason"] for row in read_lines(store.path / "quarantine.jsonl")}


def _read_shares(store, folder):
    (row,) = (case["row"] for case in store.cases if case["file"] == folder.name)
    return store.read_arrays(row, SHAPE)[1:]


@pytest.mark.parametrize("filled", [range(32), range(0, 32, 2), [8]], ids=["some", "every second", "one"])
def test_segments_lie_where_another_reader_puts_a_nifti_map_of_them(series, tmp_path, filled):
    """Segments may have voxels in some slices, in every second one, or in one; a SEG holds frames of these alone."""
    simpleitk = pytest.importorskip("SimpleITK")
    masks = _draw_marker()
    masks[:, [i for i in range(SHAPE[0]) if i not in filled]] = 0
    for folder in series:
        _make_segmentation(_read_series(folder), masks).save_as(f"{folder}_seg.dcm")
    store = _prepare(tmp_path / "raw", tmp_path / "store")
    assert store.manifest.doubts == {"overlapping classes": 2}, "an absent slice is no other grid"
    for folder in series:
        (tmp_path / "raw" / f"{folder.name}_seg.dcm").unlink()
        names = simpleitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
        drawn = simpleitk.GetImageFromArray(np.where(masks[1] > 0, 2, masks[0]))
        drawn.CopyInformation(simpleitk.ReadImage(names))
        simpleitk.WriteImage(drawn, f"{folder}_seg.nii.gz")
    labels = {name: rule.replace(".dcm", ".nii.gz") for name, rule in LABELS.items()}
    other = _prepare(tmp_path / "raw", tmp_path / "other", labels)
    for folder in series:
        assert _read_shares(store, folder)[2].max() > 30000
        assert np.array_equal(_read_shares(store, folder), _read_shares(other, folder))


def _rename_patient(ds, series):
    ds.PatientID = "someone else"
    return ds


def _move_to_other_frame(ds, series):
    ds.FrameOfReferenceUID = generate_uid()
    return ds


def _make_fractional(ds, series):
    return _make_segmentation(series, _draw_marker().astype(np.float32), "FRACTIONAL")


def _take_image(ds, series):
    return series[0]


def _cut_pixels(ds, series):
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 4 * 2]
    return ds


def _add_unnamed_segment(ds, series):
    return _make_segmentation(series, np.concatenate([_draw_marker(), _draw_marker()[:1]]))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_rename_patient, "mask of another patient"),
        (_move_to_other_frame, "mask of another frame of reference"),
        (_make_fractional, "mask is no label map"),
        (_take_image, "mask is no label map"),
        (_cut_pixels, "frames are not one regular volume"),
        (_add_unnamed_segment, "label value without a name"),
    ],
)
def test_segmentations_that_do_not_fit_are_left_out_with_their_reasons(series, tmp_path, spoil, reason):
    for folder, change in zip(series, (spoil, lambda ds, slices: ds), strict=True):
        slices = _read_series(folder)
        change(_make_segmentation(slices, _draw_marker()), slices).save_as(f"{folder}_seg.dcm")
    store = _prepare(tmp_path / "raw", tmp_path / "store")
    assert _read_reasons(store) == {series[0].name: reason}
    (row,) = read_lines(store.path / "quarantine.jsonl")
    assert "someone else" not in row["detail"]
    assert store.manifest.cases == 1


def test_a_segmentation_beside_nifti_is_left_out_since_no_patient_can_be_compared(series, tmp_path):
    write_chests(tmp_path / "nifti", 2)
    ds = _make_segmentation(_read_series(series[0]), _draw_marker())
    (tmp_path / "nifti" / "seg" / "p0_seg.nii.gz").unlink()
    ds.save_as(tmp_path / "nifti" / "seg" / "p0_seg.dcm")
    labels = {"body": "seg/{stem}_seg.*:1", "lesion": "seg/{stem}_seg.*:2"}
    store = prepare(tmp_path / "nifti", "chest_ct", tmp_path / "store", 0, shape=(16, 16, 16), labels=labels)
    assert _read_reasons(store) == {"p0.nii.gz": "mask without reference"}
