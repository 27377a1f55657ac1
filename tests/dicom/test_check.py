"""Contradictions that a validator does not see are named, and right values are left alone."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import JPEG2000

from ganatomy.dicom import check, write, write_mammogram, write_series
from ganatomy.dicom.volume_class import CT

RECORD = {"generator": "pggan-mammogram", "snapshot_sha256": "a" * 64, "seed": 0, "index": 0}
SUBJECT = write.Subject(1, "SYNTHETIC", "test", "20260101")


def _view(laterality="L", view="CC"):
    pixels = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    return write_mammogram.make_mammogram_instance(pixels, (0.2, 0.2), view, laterality, SUBJECT, RECORD)


@pytest.mark.parametrize(("laterality", "view"), write_mammogram.VIEW_ORDER)
def test_what_we_write_is_sound(laterality, view):
    assert check.find_faults(_view(laterality, view)) == []


@pytest.mark.parametrize(
    ("laterality", "view", "orientation"),
    [("R", "CC", "A\\L"), ("R", "CC", "P\\R"), ("L", "MLO", "P\\FR"), ("L", "MLO", "A\\HL"), ("R", "MLO", "P\\F")],
)
def test_a_mirrored_view_is_sound(laterality, view, orientation):
    ds = _view(laterality, view)
    ds.PatientOrientation = orientation.split("\\")
    assert check.find_faults(ds) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"SyntheticData": "MAYBE"}, "only YES and NO exist"),
        ({"SyntheticData": "NO"}, "Synthetic Data is not YES"),
        ({"PatientOrientation": ["L", "F"]}, "Patient Orientation L.F cannot be"),
        ({"PatientOrientation": ["A", "F"]}, "Patient Orientation A.F cannot be"),
        ({"ViewPosition": ""}, "View Position is missing"),
        ({"ViewPosition": "MLO"}, "View Code Sequence says CC"),
        ({"ImageLaterality": "X"}, "Image Laterality is 'X'"),
        ({"LossyImageCompression": "01"}, "LossyImageCompressionRatio is missing"),
        ({"SOPInstanceUID": ""}, "SOPInstanceUID is not a UID"),
    ],
)
def test_contradictions_are_named_and_never_written(change, words):
    ds = _view()
    for name, value in change.items():
        setattr(ds, name, value)
    with pytest.raises(ValueError, match=words):
        write.check_dataset(ds)


def test_an_oblique_view_of_the_other_breast_is_named():
    ds = _view("R", "MLO")
    ds.PatientOrientation = ["P", "FR"]
    assert "cannot be" in check.find_faults(ds)[0]


def test_a_lossy_transfer_syntax_must_say_so():
    ds = _view()
    ds.file_meta.TransferSyntaxUID = JPEG2000
    assert "Lossy Image Compression is not 01" in check.find_faults(ds)[0]
    ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 10
    ds.LossyImageCompressionMethod = "ISO_15444_1"
    assert check.find_faults(ds) == []


def test_a_slice_needs_two_directions_at_right_angles():
    ds = next(write_series.make_series_instances(np.zeros((2, 4, 4), np.float32), (1, 1, 1), CT, SUBJECT, RECORD))
    assert check.find_faults(ds) == []
    for wrong in ([1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0], [1, 0, 0]):
        ds.ImageOrientationPatient = wrong
        assert check.find_faults(ds)


def test_a_file_of_another_maker_may_be_sparse():
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    ds.StudyInstanceUID = ds.SeriesInstanceUID = "1.2.4"
    assert check.find_faults(ds) == []
    assert not check.is_marked_synthetic(ds)
