"""Pixels in forms that are rare and allowed, or broken in a way that people met: right values or a clear reason."""

import numpy as np
import pytest
from jpeg_extended import encode_blocks
from jpeg_lossless import jpeg_lossless
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import JPEGExtended12Bit, JPEGLSLossless, RLELossless

from ganatomy.dicom import jpeg, pixels
from ganatomy.dicom.mammogram import read_mammogram
from ganatomy.dicom.read import is_dicom
from ganatomy.imaging.image import UnusableImage


@pytest.fixture
def source(cohort):
    return cohort / "PHA-000001" / "LMLO.dcm"


def _plain(source):
    ds = dcmread(source)
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        ds.decompress(generate_instance_uid=False)
    return ds


def _save(ds, tmp_path):
    path = tmp_path / "a.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _rle(source, tmp_path):
    ds = _plain(source)
    ds.compress(RLELossless, generate_instance_uid=False)
    return _save(ds, tmp_path)


def _kinds(image):
    return [doubt.kind for doubt in image.doubts]


def test_a_missing_last_delimiter_is_no_loss(source, tmp_path):
    path = _rle(source, tmp_path)
    path.write_bytes(path.read_bytes().removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0"))
    assert np.array_equal(read_mammogram(path)[0].pixels, read_mammogram(source)[0].pixels)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_file_that_was_cut_says_so(source, tmp_path, share):
    path = _rle(source, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnusableImage, match="the file ends before its data do; copy it again") as caught:
        read_mammogram(path)
    assert caught.value.kind == "cut short"


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_preamble_is_read(source, tmp_path, implicit):
    ds, path = _plain(source), tmp_path / "old"
    del ds.file_meta
    ds.preamble = None
    dcmwrite(path, ds, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert is_dicom(path)
    assert np.array_equal(read_mammogram(path)[0].pixels, read_mammogram(source)[0].pixels)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\x08\x00",
        b"II*\0" + bytes(20),
        bytes(40),
        b"\x08\x00\x05\x00\xff\xff\xff\xff" * 3,
        b"\x1f\x8b\x08\x00" * 8,
    ],
)
def test_other_files_are_not_taken_for_dicom(tmp_path, start):
    (tmp_path / "x").write_bytes(start)
    assert not is_dicom(tmp_path / "x")


@pytest.mark.parametrize("filled", [b"\xff\xff", b"\xff", b"\xff" * 7])
def test_fill_bytes_before_a_marker_are_allowed(source, tmp_path, filled):
    path = tmp_path / "a.dcm"
    path.write_bytes(jpeg_lossless(source.read_bytes()))
    ds = dcmread(path)
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    at = frame.index(b"\xff\xc3")
    ds.PixelData = encapsulate([frame[:at] + filled + frame[at:]])
    ds.save_as(path)
    assert np.array_equal(read_mammogram(path)[0].pixels, read_mammogram(source)[0].pixels)


def _extended(source, tmp_path, frame):
    ds = _plain(source)
    ds.PixelData = encapsulate([frame])
    ds.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    return _save(ds, tmp_path)


def test_jpeg_extended_of_12_bits_has_the_values_that_were_written(source, tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (40, 32))
    read = pixels.decode_pixels(dcmread(_extended(source, tmp_path, encode_blocks(values))))
    assert np.array_equal(read, np.kron(values, np.ones((8, 8), dtype=int)))


def test_jpeg_extended_of_another_size_or_depth_is_a_reason(source, tmp_path):
    frame = encode_blocks(np.full((40, 30), 100))
    with pytest.raises(UnusableImage, match="320 x 240 of 12 bits in the JPEG data where 320 x 256"):
        pixels.decode_pixels(dcmread(_extended(source, tmp_path, frame)))
    deep = encode_blocks(np.full((40, 32), 100)).replace(b"\xff\xc1\x00\x0b\x0c", b"\xff\xc1\x00\x0b\x10")
    with pytest.raises(UnusableImage, match="16 bits, and JPEG Extended has 12 at most"):
        pixels.decode_pixels(dcmread(_extended(source, tmp_path, deep)))


def _jpeg_ls(source, tmp_path, change=lambda frame: frame):
    """Noise of 16 bits as JPEG-LS, the frame changed."""
    ds = _plain(source)
    values = np.random.default_rng(0).integers(0, 4096, (ds.Rows, ds.Columns)).astype("<u2")
    ds.BitsStored, ds.HighBit, ds.PixelData = 16, 15, values.tobytes()
    ds.compress(JPEGLSLossless, generate_instance_uid=False)
    frame = next(generate_frames(ds.PixelData, number_of_frames=1)).rstrip(b"\0")
    ds.PixelData = encapsulate([change(frame)])
    return values, _save(ds, tmp_path)


def test_jpeg_ls_that_the_first_decoder_refuses_goes_to_the_second(source, tmp_path):
    values, path = _jpeg_ls(source, tmp_path, lambda frame: frame[:-1])
    with pytest.raises(RuntimeError, match="pyjpegls"):
        dcmread(path).decompress(decoding_plugin="pyjpegls")
    assert np.array_equal(pixels.decode_pixels(dcmread(path)), values)


@pytest.mark.parametrize("change", [{"Rows": 100}, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}])
def test_jpeg_ls_is_checked_before_the_second_decoder(source, tmp_path, change):
    _, path = _jpeg_ls(source, tmp_path, lambda frame: frame[:-1])
    ds = dcmread(path)
    for name, value in change.items():
        setattr(ds, name, value)
    with pytest.raises(UnusableImage, match="pixels do not match the header"):
        pixels.decode_pixels(ds)


def test_a_frame_header_is_found_behind_other_segments():
    frame = encode_blocks(np.full((3, 2), 7))
    assert jpeg.read_frame_header(frame) == (12, 24, 16, 1)
    for broken in (b"", b"\xff", frame[:20], b"\xff\xd8\xff\xc1\x00"):
        with pytest.raises(UnusableImage, match="no JPEG frame header"):
            jpeg.read_frame_header(broken)


def test_values_in_the_upper_bits_are_shifted_down(source, tmp_path):
    ds = _plain(source)
    stored = ds.pixel_array.astype("<u2")
    ds.HighBit, ds.PixelData = 15, (stored << 4).tobytes()
    assert np.array_equal(read_mammogram(_save(ds, tmp_path))[0].pixels, read_mammogram(source)[0].pixels)
    ds.PixelData = ((stored << 4) | 1).astype("<u2").tobytes()
    with pytest.raises(UnusableImage, match="the lowest 4 bits of a value are unused, and they are used"):
        read_mammogram(_save(ds, tmp_path))


def _lut(entries, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, bits])
    item.add_new("LUTData", "US", entries)
    return Sequence([item])


def test_a_voi_lut_whose_depth_lies_is_as_bright_as_its_entries(source, tmp_path):
    ds = _plain(source)
    ds.VOILUTSequence = _lut(list(range(4096)), 16)
    image = read_mammogram(_save(ds, tmp_path))[0]
    np.testing.assert_allclose(image.pixels, read_mammogram(source)[0].pixels, atol=1e-3)
    assert _kinds(image) == ["depth of the VOI LUT"]
    ds.VOILUTSequence = _lut([n // 2 for n in range(4096)], 12)  # dark on purpose: no entry of the upper half
    image = read_mammogram(_save(ds, tmp_path))[0]
    np.testing.assert_allclose(image.pixels, read_mammogram(source)[0].pixels / 2, atol=1e-3)
    assert not image.doubts


def test_an_empty_voi_lut_leaves_the_window(source, tmp_path):
    ds = _plain(source)
    ds.VOILUTSequence = Sequence([Dataset()])
    assert np.array_equal(read_mammogram(_save(ds, tmp_path))[0].pixels, read_mammogram(source)[0].pixels)


def test_a_window_of_no_width_is_as_none(source, tmp_path):
    ds = _plain(source)
    del ds.WindowCenter, ds.WindowWidth
    without = read_mammogram(_save(ds, tmp_path))[0]
    ds.WindowCenter = ds.WindowWidth = 0
    image = read_mammogram(_save(ds, tmp_path))[0]
    assert np.array_equal(image.pixels, without.pixels)
    assert _kinds(image) == ["empty window"]


def test_lossy_compression_is_named(source, tmp_path):
    ds = _plain(source)
    ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", "12.5"
    (doubt,) = read_mammogram(_save(ds, tmp_path))[0].doubts
    assert doubt == ("lossy compression", "Explicit VR Little Endian, ratio 12.5")
    assert not read_mammogram(source)[0].doubts


def test_a_message_of_a_decoder_names_the_syntax_and_what_is_wrong(source, tmp_path):
    path = _rle(source, tmp_path)
    ds = dcmread(path)
    ds.PixelData = encapsulate([b"\0" * 64])
    with pytest.raises(UnusableImage, match=r"RLE Lossless: .*pydicom: .*RLE"):
        read_mammogram(_save(ds, tmp_path))
