"""Every form in which a mammogram may come, made from one phantom file whose picture is known."""

import numpy as np
import pytest
from jpeg_lossless import jpeg_lossless
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from ganatomy.dicom import write
from ganatomy.dicom.mammogram import read_mammogram
from ganatomy.imaging.image import UnusableImage


@pytest.fixture(params=["RCC", "LMLO"])
def source(request, cohort):
    return cohort / "PHA-000001" / f"{request.param}.dcm"


@pytest.fixture
def rewritten(source, tmp_path):
    """Change the data set of the source and save it; returns the path."""

    def change(edit):
        ds = dcmread(source)
        ds.decompress() if ds.file_meta.TransferSyntaxUID.is_compressed else None
        edit(ds)
        path = tmp_path / "changed.dcm"
        ds.save_as(path, enforce_file_format=True)
        return path

    return change


def _stored(ds):
    return ds.pixel_array.astype(np.uint16)


def _store(ds, values, bits):
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelData = np.ascontiguousarray(values, dtype="<u2").tobytes()


def _window(ds, centre, width, function=None):
    ds.WindowCenter, ds.WindowWidth = str(centre), str(width)
    if function:
        ds.VOILUTFunction = function


def test_the_plain_form(source):
    image, patient = read_mammogram(source)
    assert 0 <= image.pixels.min() < image.pixels.max() <= 1
    assert image.facts["laterality"] in "LR"
    assert patient.identity == "ganatomy/PHA-000001"
    assert image.spacing == pytest.approx((0.8, 0.8))
    assert image.pixels[:, :20].mean() > image.pixels[:, -20:].mean()  # chest wall left, whatever the laterality


def test_monochrome1_gives_the_same_picture(source, rewritten):
    def invert(ds):
        _store(ds, 4095 - _stored(ds), 12)
        ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        ds["PixelPaddingValue"].value = 4095

    np.testing.assert_allclose(read_mammogram(rewritten(invert))[0].pixels, read_mammogram(source)[0].pixels, atol=2e-3)


@pytest.mark.parametrize("bits", [10, 14, 16])
def test_any_number_of_bits_gives_the_same_picture(source, rewritten, bits):
    def deepen(ds):
        scale = (2**bits - 1) / 4095
        _store(ds, np.round(_stored(ds) * scale).astype(np.uint16), bits)
        _window(ds, 2 ** (bits - 1), 2**bits)

    np.testing.assert_allclose(read_mammogram(rewritten(deepen))[0].pixels, read_mammogram(source)[0].pixels, atol=2e-3)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_compression_gives_equal_pixels(source, tmp_path, syntax):
    ds = dcmread(source)
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(tmp_path / "small.dcm", enforce_file_format=True)
    assert np.array_equal(read_mammogram(tmp_path / "small.dcm")[0].pixels, read_mammogram(source)[0].pixels)


def test_jpeg_lossless_gives_equal_pixels(source, tmp_path):
    (tmp_path / "small.dcm").write_bytes(jpeg_lossless(source.read_bytes()))
    assert dcmread(tmp_path / "small.dcm").file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert np.array_equal(read_mammogram(tmp_path / "small.dcm")[0].pixels, read_mammogram(source)[0].pixels)


@pytest.mark.parametrize(
    "change", [{"Rows": 7}, {"Columns": 2000}, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}]
)
def test_a_header_that_lies_about_jpeg_data_is_a_reason_and_no_crash(source, tmp_path, change):
    (tmp_path / "a.dcm").write_bytes(jpeg_lossless(source.read_bytes()))
    ds = dcmread(tmp_path / "a.dcm")
    for name, value in change.items():
        setattr(ds, name, value)
    ds.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnusableImage, match="pixels do not match the header"):
        read_mammogram(tmp_path / "a.dcm")


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_window_is_applied_with_its_function(source, rewritten, function):
    path = rewritten(lambda ds: _window(ds, 1500, 1000, function))
    stored = read_mammogram(source)[0].pixels * 4095  # the source's own window is the identity
    if function == "SIGMOID":
        expected = np.where(stored > 0, 1 / (1 + np.exp(-4 * (stored - 1500) / 1000)), 0)
    else:
        expected = np.clip((stored - 1000) / 1000, 0, 1)
    np.testing.assert_allclose(read_mammogram(path)[0].pixels, expected, atol=2e-3)


def test_without_voi_the_range_of_the_tissue_is_used(source, rewritten):
    path = rewritten(lambda ds: _window(ds, 1500, 1000))
    stored = read_mammogram(source)[0].pixels * 4095
    low, high = stored[stored > 0].min(), stored.max()
    expected = np.where(stored > 0, (stored - low) / (high - low), 0)
    np.testing.assert_allclose(read_mammogram(path, voi=False)[0].pixels, expected, atol=2e-3)


def test_a_voi_lut_sequence_is_preferred_to_the_window(source, rewritten):
    def add(ds):
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [4096, 0, 16])
        item.add_new("LUTData", "US", np.round(np.linspace(0, 1, 4096) ** 2 * 65535).astype(int).tolist())
        ds.VOILUTSequence = Sequence([item])

    with_lut, without = read_mammogram(rewritten(add))[0].pixels, read_mammogram(source)[0].pixels
    np.testing.assert_allclose(with_lut, without**2, atol=3e-3)


def test_padding_becomes_background(rewritten):
    def pad(ds):
        values = _stored(ds)
        values[:40] = 4000
        _store(ds, values, 12)
        ds["PixelPaddingValue"].value = 3990
        ds.add_new("PixelPaddingRangeLimit", "US", 4095)

    assert read_mammogram(rewritten(pad))[0].pixels[:40].max() == 0


def test_a_missing_orientation_is_decided_by_the_image(source, rewritten):
    def forget(ds):
        del ds.PatientOrientation

    assert np.array_equal(read_mammogram(rewritten(forget))[0].pixels, read_mammogram(source)[0].pixels)


def test_stored_upside_down_is_turned(source, rewritten):
    def turn(ds):
        _store(ds, _stored(ds)[::-1], 12)
        rows, columns = ds.PatientOrientation
        ds.PatientOrientation = [rows, {"L": "R", "R": "L", "FL": "HR", "FR": "HL"}[columns]]

    assert np.array_equal(read_mammogram(rewritten(turn))[0].pixels, read_mammogram(source)[0].pixels)


def _set(**values):
    def edit(ds):
        for name, value in values.items():
            if value is None:
                delattr(ds, name)
            else:
                setattr(ds, name, value)

    return edit


def _mirror(ds):
    _store(ds, _stored(ds)[:, ::-1], 12)


def _modified(ds):
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence(
        [write.make_code_item("399055006", "SCT", "Spot Compression")]
    )


def _truncate(ds):
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]


def _black(ds):
    ds.PixelData = bytes(len(ds.PixelData))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2.1"), "For Processing"),
        (_set(PresentationIntentType="FOR PROCESSING"), "For Processing"),
        (_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3"), "breast tomosynthesis"),
        (_set(Modality="CT"), "wrong modality"),
        (_set(Modality=None), "wrong modality"),
        (_set(ImageType=["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]), "computed from tomosynthesis"),
        (_set(BreastImplantPresent="YES"), "breast implant"),
        (_set(BurnedInAnnotation="YES"), "burned-in annotation"),
        (_set(EstimatedRadiographicMagnificationFactor="1.8"), "magnification view"),
        (_set(PaddleDescription="SPOT PADDLE"), "spot compression view"),
        (_modified, "modified view"),
        (_set(ViewCodeSequence=None, ViewPosition="ML"), "view is not CC or MLO"),
        (_set(ViewPosition="XCCL"), "contradictory view"),
        (_set(ImageLaterality=None), "no laterality"),
        (_mirror, "contradictory orientation"),
        (_truncate, "pixels cannot be decoded"),
        (_black, "no image"),
        (_set(PixelData=None), "no pixel data"),
        (_set(NumberOfFrames=3), "several frames"),
        (_set(PhotometricInterpretation="RGB"), "not monochrome"),
        (_set(Rows=0), "impossible size"),
    ],
)
def test_what_cannot_serve_says_why(rewritten, edit, reason):
    with pytest.raises(UnusableImage) as caught:
        read_mammogram(rewritten(edit))
    assert caught.value.kind == reason


def test_a_legacy_view_code_is_known(source, rewritten):
    legacy = {"CC": "R-10242", "MLO": "R-10226"}

    def edit(ds):
        ds.ViewCodeSequence = Sequence([write.make_code_item(legacy[ds.ViewPosition], "SRT", "legacy")])
        del ds.ViewPosition

    assert read_mammogram(rewritten(edit))[0].facts == read_mammogram(source)[0].facts


def test_not_a_dicom_file(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"not at all")
    with pytest.raises(UnusableImage, match="not readable as DICOM"):
        read_mammogram(tmp_path / "x.dcm")


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.4.57",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.5",
    ],
)
def test_a_decoder_is_installed_for_each_syntax_met_in_mammography(syntax):
    """JPEG Lossless (57, 70), JPEG-LS, JPEG 2000, RLE: without a GPL decoder."""
    from pydicom.pixels import get_decoder

    assert get_decoder(syntax).is_available
