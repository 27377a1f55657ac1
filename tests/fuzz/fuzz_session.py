"""Broken files, thousands of them: `test_fuzz.py` runs this file in a process of its own with bounded memory.

Each ends in an image or in a named reason (`Unusable`), and in less than five seconds.
"""

import gzip
import os
import struct
import warnings
from io import BytesIO

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jpeg_lossless import jpeg_lossless
from pydicom import dcmread

from ganatomy.dicom import write, write_enhanced, write_mammogram, write_series
from ganatomy.dicom.grouping import group_files
from ganatomy.dicom.volume_class import CT, MR
from ganatomy.exporting.verify import verify
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.person import Person
from ganatomy.modalities.brain_mri import BrainMRI
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.modality import Candidate

RECORD = {"generator": "fuzz", "snapshot_sha256": "a" * 64, "seed": 0, "index": 0}
SUBJECT = write.Subject(1, "SYNTHETIC", "fuzz", "20260101")
SECONDS = 5
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "450"))  # of each of the five tests

SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=SECONDS * 1000,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def _bytes(ds):
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _mammograms():
    y, x = np.indices((48, 40)).astype(np.float32)
    pixels = np.where(x < 25, 0.3 + y / 100, 0).astype(np.float32)
    for compress in (None, "rle", "jpeg-ls", "jpeg2000"):
        ds = write_mammogram.make_mammogram_instance(pixels, (0.2, 0.2), "CC", "L", SUBJECT, RECORD)
        yield _bytes(write.compress_dataset(ds, compress) if compress else ds)
    yield jpeg_lossless(_bytes(write_mammogram.make_mammogram_instance(pixels, (0.2, 0.2), "CC", "L", SUBJECT, RECORD)))


def _volume():
    z, y, x = np.indices((9, 33, 34))
    return (40 * z + 10 * y + x - 1000).astype(np.float32)


MAMMOGRAMS = list(_mammograms())
SLICES = [_bytes(ds) for ds in write_series.make_series_instances(_volume(), (2.0, 1.0, 1.0), CT, SUBJECT, RECORD)]
ENHANCED = [
    _bytes(write_enhanced.make_enhanced_instance(v, (2.0, 1.0, 1.0), kind, SUBJECT, RECORD))
    for v, kind in ((_volume(), CT), (np.clip(_volume() / 1000, 0, 1), MR))
]
NIFTI = nib.Nifti1Image(_volume().astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0])).to_bytes()

# Edits of bytes: where (a share of the file), what, and a number.
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["byte", "word", "cut", "drop", "double", "zero"]),
        st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=6,
)
# Values that a header may claim, right or not.
NASTY = st.sampled_from(
    [0, 1, -1, 7, 255, 65535, 2**31 - 1, 0.0, -1.5, 1e300, "", "nan", "inf", "X", "1\\2", "\\", "9" * 60]
)
NAMES = st.sampled_from(
    [
        "Rows",
        "Columns",
        "NumberOfFrames",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PixelData",
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "WindowCenter",
        "WindowWidth",
        "VOILUTFunction",
        "ImagerPixelSpacing",
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PatientOrientation",
        "ImageLaterality",
        "ViewPosition",
        "ViewCodeSequence",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "SpecificCharacterSet",
        "ImageType",
        "Modality",
        "PatientID",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "ContributingEquipmentSequence",
        "EstimatedRadiographicMagnificationFactor",
        "SOPInstanceUID",
        "SOPClassUID",
        "InstanceNumber",
    ]
)
CLAIMS = st.lists(st.tuples(NAMES, NASTY), min_size=1, max_size=3)


def edited(content, edits):
    """The content with these edits, one after the other."""
    for share, what, number in edits:
        at = int(share * len(content))
        if what == "byte":
            content = content[:at] + bytes([number % 256]) + content[at + 1 :]
        elif what == "word":
            content = content[:at] + struct.pack("<I", number) + content[at + 4 :]
        elif what == "cut":
            content = content[:at]
        elif what == "drop":
            content = content[:at] + content[at + number % 64 :]
        elif what == "double":
            content = content[: at + number % 512] + content[at:]
        else:
            content = content[:at] + bytes(number % 64) + content[at + number % 64 :]
    return content


def claimed(content, claims):
    """The content with other values in its header, whatever their form."""
    ds = dcmread(BytesIO(content))
    for name, value in claims:
        try:
            setattr(ds, name, value)
        except Exception:  # pydicom takes no such value
            ds.pop(name, None)
    try:
        return _bytes(ds)
    except Exception:  # what cannot be written cannot be read either
        return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def _ends_well(modality, paths):
    """Read, and on to the grid: an image or a reason."""
    try:
        image, who = modality.read(Candidate(tuple(paths), "x", {}))
        assert isinstance(image, Image)
        assert isinstance(who, Person)
        assert np.isfinite(image.pixels).all()
        assert image.spacing is None or np.isfinite(image.spacing).all()
        modality.normalise(image)
    except UnusableImage as reason:
        if not str(reason):
            raise


@SETTINGS
@given(st.sampled_from(MAMMOGRAMS), EDITS)
def test_mammograms_of_broken_bytes(folder, content, edits):
    path = folder / "a.dcm"
    path.write_bytes(edited(content, edits))
    _ends_well(Mammogram(shape=(80, 64)), [path])


@SETTINGS
@given(st.sampled_from(MAMMOGRAMS + ENHANCED), CLAIMS)
@example(MAMMOGRAMS[0], [("Rows", 65535), ("Columns", 65535)])
@example(ENHANCED[0], [("NumberOfFrames", 2**31 - 1)])
def test_headers_that_claim_anything(folder, content, claims):
    path = folder / "a.dcm"
    path.write_bytes(claimed(content, claims))
    for modality in (Mammogram(shape=(80, 64)), ChestCT(shape=(32, 32, 32)), BrainMRI(shape=(32, 32, 32))):
        _ends_well(modality, [path])
    for one in (folder / "verify", folder / "verify" / "b.dcm"):
        one.mkdir(exist_ok=True) if one.suffix == "" else one.write_bytes(path.read_bytes())
    (finding,) = verify(folder / "verify")
    assert finding.describe()


@SETTINGS
@given(st.integers(0, len(SLICES) - 1), EDITS, CLAIMS, st.booleans())
def test_series_with_a_broken_slice(folder, which, edits, claims, bytewise):
    paths = [folder / f"s{number:02d}.dcm" for number in range(len(SLICES))]
    for path, content in zip(paths, SLICES, strict=True):
        if not path.exists():
            path.write_bytes(content)
    paths[which].write_bytes(edited(SLICES[which], edits) if bytewise else claimed(SLICES[which], claims))
    for group in group_files(paths):
        _ends_well(ChestCT(shape=(32, 32, 32)), [*group.paths, *group.copies])
    paths[which].write_bytes(SLICES[which])


@SETTINGS
@given(st.sampled_from(ENHANCED), EDITS)
def test_enhanced_instances_of_broken_bytes(folder, content, edits):
    path = folder / "e.dcm"
    path.write_bytes(edited(content, edits))
    _ends_well(ChestCT(shape=(32, 32, 32)), [path])


@SETTINGS
@given(EDITS, st.booleans(), st.booleans(), st.booleans())
def test_nifti_of_broken_bytes(folder, edits, header_only, packed, before):
    path = folder / ("n.nii.gz" if packed else "n.nii")
    content = edited(NIFTI[:352], edits)[:352].ljust(352, b"\0") + NIFTI[352:] if header_only else edited(NIFTI, edits)
    if packed:
        content = gzip.compress(content, 1) if before else edited(gzip.compress(NIFTI, 1), edits)
    path.write_bytes(content)
    _ends_well(ChestCT(shape=(32, 32, 32)), [path])


@pytest.fixture(autouse=True)
def _silence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
