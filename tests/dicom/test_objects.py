"""Every object in every compression: valid, exact, and read right by tools that are not ours."""

import json
import subprocess

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from tools import tool

from ganatomy.dicom import write, write_enhanced, write_series
from ganatomy.dicom.instances import DicomForm
from ganatomy.dicom.volume_class import CT, MR
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.modalities.table import get_modality

SHAPE, SPACING = (10, 36, 40), (2.0, 1.5, 1.0)
RECORD = {"generator": "hagan", "snapshot_sha256": "a" * 64, "seed": 0, "index": 4, "truncation": None}
SUBJECT = write.Subject(3, "SYNTHETIC", "test", "20260101")
FORMS = [
    (modality, DicomForm(enhanced, secondary, compress))
    for modality, kinds in (
        ("mammogram", ((False, False), (False, True))),
        ("chest_ct", ((False, False), (True, False), (False, True))),
        ("brain_mri", ((False, False), (True, False), (False, True))),
    )
    for enhanced, secondary in kinds
    for compress in (None, "rle", "jpeg-ls", "jpeg2000")
]


def _shown(modality):
    """An image that equals none of its mirror images, in its own values."""
    if modality == "mammogram":
        y, x = np.indices((80, 64)).astype(np.float32)
        facts = {"view_position": "MLO", "laterality": "L"}
        return Image(np.where(x < 40, 0.2 + y / 200 + x / 400, 0).astype(np.float32), (0.25, 0.25), facts)
    z, y, x = np.indices(SHAPE).astype(np.float32)
    values = 100 * z + 10 * y + x
    return Image(values - 1000 if modality == "chest_ct" else values / values.max(), SPACING)


@pytest.fixture(params=FORMS, ids=lambda p: f"{p[0]}-{p[1].enhanced:d}{p[1].secondary_capture:d}-{p[1].compress}")
def written(request, tmp_path):
    modality, form = request.param
    make = get_modality(modality)().dicom.make_instances(form, "20260101")
    for name, ds in make(_shown(modality), RECORD):
        write.save_dataset(ds, tmp_path / name)
    return modality, form, sorted(tmp_path.rglob("*.dcm"))


def test_the_validators_find_no_error(written):
    _, _, files = written
    for file in {files[0], files[-1]}:
        told = subprocess.run([tool("dciodvfy"), "-new", file], capture_output=True, text=True, check=False)
        assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
        assert told.returncode == 0
    told = subprocess.run([tool("dcentvfy"), *files], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_stored_values_are_exact_and_everything_says_synthetic(written):
    modality, _, files = written
    sets = [dcmread(file) for file in files]
    values = np.squeeze(np.stack([ds.pixel_array for ds in sets]))
    assert np.array_equal(values, get_modality(modality)().dicom.quantise_sample(_shown(modality)))
    assert len({ds.SOPInstanceUID for ds in sets}) == len(sets)
    for name in ("StudyInstanceUID", "SeriesInstanceUID"):
        assert len({ds[name].value for ds in sets}) == 1
    for ds in sets:
        assert ds.SyntheticData == "YES"
        assert ds.ContentQualification == "RESEARCH"
        assert str(ds.PatientName).startswith("SYNTHETIC^")
        assert ds.PatientID.startswith("SYN-")
        assert ds.SeriesDescription.startswith("SYNTHETIC")
        assert ds.StudyDescription.startswith("SYNTHETIC")
        assert "NOT FOR DIAGNOSTIC USE" in ds.ImageComments
        assert ds.LossyImageCompression == "00"
        (item,) = ds.ContributingEquipmentSequence
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
        assert json.loads(item.ContributionDescription) == RECORD
        assert ds.SOPInstanceUID.startswith("2.25.")


@pytest.fixture(
    params=[p for p in FORMS if p[0] != "mammogram" and not p[1].secondary_capture],
    ids=lambda p: f"{p[0]}-{p[1].enhanced:d}-{p[1].compress}",
)
def volume(request, tmp_path):
    """A volume as files, the values that a reader must find (S, P, L axes), and the kind of object."""
    modality, form = request.param
    shown = _shown(modality)
    for name, ds in get_modality(modality)().dicom.make_instances(form, "20260101")(shown, RECORD):
        write.save_dataset(ds, tmp_path / "in" / name)
    values = shown.pixels if modality == "chest_ct" else get_modality(modality)().dicom.quantise_sample(shown)
    return sorted((tmp_path / "in").rglob("*.dcm")), values, form.enhanced


def test_highdicom_reads_the_same_volume(volume):
    files, values, enhanced = volume
    found = hd.imread(files[0]).get_volume() if enhanced else hd.get_volume_from_series([dcmread(f) for f in files])
    found = found.to_patient_orientation("HPL")
    assert np.array_equal(found.array, values)
    assert found.spacing == pytest.approx(SPACING)


def test_simpleitk_reads_the_same_volume(volume):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK comes with the development set-up")
    files, values, enhanced = volume
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files[0].parent)))
    image = sitk.ReadImage(str(files[0])) if enhanced else reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), values)  # slices, rows, columns
    assert image.GetSpacing() == pytest.approx(SPACING[::-1])
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)  # columns to the left, rows to the back, slices up
    centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in SHAPE[::-1]])
    assert centre == pytest.approx((0, 0, 0))


def test_dcm2niix_reads_the_same_volume(volume, tmp_path):
    files, values, _ = volume
    command = [tool("dcm2niix"), "-o", tmp_path, "-f", "out", files[0].parent]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    image = nib.load(tmp_path / "out.nii")
    assert nib.affines.voxel_sizes(image.affine) == pytest.approx(SPACING[::-1])
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(("S", "P", "L"))
    )
    assert np.array_equal(nib.orientations.apply_orientation(np.asarray(image.dataobj), turn), values)


def test_hounsfield_units_are_kept_to_rounding():
    volume = np.array([-1024.0, -950.4, 0.4, 3071.0, 5000.0, -2000.0], dtype=np.float32).reshape(1, 2, 3)
    (ds,) = write_series.make_series_instances(volume, SPACING, CT, SUBJECT, RECORD)
    values = np.frombuffer(ds.PixelData, "<u2").astype(int) + int(ds.RescaleIntercept)
    assert values.tolist() == [-1024, -950, 0, 3071, 3071, -1024]


@pytest.mark.parametrize("write_one", [write_series.make_series_instances, write_enhanced.make_enhanced_instance])
def test_a_volume_needs_a_spacing(write_one):
    with pytest.raises(ValueError, match="three spacings"):
        list(write_one(_shown("chest_ct").pixels, (1.0, 0.0, 1.0), MR, SUBJECT, RECORD))


def test_the_same_sample_has_the_same_uids_and_other_pixels_never():
    def uids(shown, record, date="20260101", compress=None):
        made = get_modality("chest_ct")().dicom.make_instances(DicomForm(compress=compress), date)(shown, record)
        return [(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID) for _, ds in made]

    shown = _shown("chest_ct")
    first = uids(shown, RECORD)
    assert first == uids(shown, RECORD, "20270101") == uids(shown, RECORD, compress="rle")
    brighter = shown.copy_with(pixels=shown.pixels + 1)
    assert not {uid for *_, uid in first} & {uid for *_, uid in uids(brighter, RECORD)}
    for change in ({"index": 5}, {"seed": 1}, {"snapshot_sha256": "b" * 64}, {"emphysema": "mild"}):
        others = uids(shown, RECORD | change)
        assert not {series for _, series, _ in first} & {series for _, series, _ in others}
        assert not {uid for *_, uid in first} & {uid for *_, uid in others}


@pytest.mark.parametrize(
    ("modality", "form", "words"),
    [
        ("chest_ct", {"compress": "zip"}, "choose one of rle, jpeg-ls, jpeg2000"),
        ("chest_ct", {"enhanced": True, "secondary_capture": True}, "give one"),
        ("mammogram", {"enhanced": True}, "a mammogram is one image"),
    ],
)
def test_impossible_forms_are_refused(modality, form, words):
    with pytest.raises(Refused, match=words):
        get_modality(modality)().dicom.make_instances(DicomForm(**form), "20260101")


def test_what_an_encoder_cannot_do_is_refused():
    tiny = _shown("mammogram").copy_with(pixels=np.ones((16, 16), np.float32))
    with pytest.raises(Refused, match="cannot encode an image of 16 x 16"):
        list(get_modality("mammogram")().dicom.make_instances(DicomForm(compress="jpeg2000"), "20260101")(tiny, RECORD))
