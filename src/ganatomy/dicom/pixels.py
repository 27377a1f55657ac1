"""The pixels of anybody's instances: decoded by what survives broken data, brought to display values."""

import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ganatomy.dicom import read
from ganatomy.imaging.image import UnusableImage

DisplayRange = tuple[float, float]

MAX_FRAME_PIXELS = 2**26  # pixels; a header that claims more is broken
MAX_PIXELS_PER_BYTE = 1000  # pixels in a byte of compressed data; more frames than this holds are a broken header
# Those that survive: GDCM ends the process when a header lies about the size, pylibjpeg's RLE panics.
DECODER_PLUGINS = {
    RLELossless: "pydicom",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    JPEGBaseline8Bit: "pillow",
}
GDCM_SYNTAXES = (JPEGLossless, JPEGLosslessSV1, JPEGExtended12Bit)
START_OF_FRAME_MARKERS = range(0xC0, 0xD0)  # second byte of the marker (ITU-T T.81 B.1.1.3), but for the three below
NOT_FRAME_MARKERS = (0xC4, 0xC8, 0xCC)


def decode_pixels(dataset: Dataset) -> NDArray[np.integer]:
    """The stored values of a single-frame monochrome instance: (rows, columns).

    Raises:
        Unusable: no pixels, truncated pixels, colour, several frames, or no decoder for the transfer syntax.
    """
    if (frames := read.get_integer(dataset, "NumberOfFrames", 1)) != 1:
        raise UnusableImage("several frames", f"{frames} frames where one was expected")
    return decode_frames(dataset)


def decode_frames(dataset: Dataset) -> NDArray[np.integer]:
    """The stored values of a monochrome instance: (rows, columns), or (frames, rows, columns) when it has several.

    Raises:
        Unusable: no pixels, truncated pixels, colour, or no decoder for the transfer syntax.
    """
    frames, rows, columns = _read_size(dataset)
    decompress_pixels(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(dataset.pixel_array)
    except Exception as error:  # of many kinds
        raise UnusableImage("pixels cannot be decoded", read.describe_error(error)) from error
    if pixels.shape != ((rows, columns) if frames == 1 else (frames, rows, columns)):
        raise UnusableImage("pixels do not match the header", f"{pixels.shape} against {frames} x {rows} x {columns}")
    return pixels


def decompress_pixels(dataset: Dataset) -> None:
    """Decode the pixels of a data set in place; nothing is done when they are not encoded.

    Raises:
        Unusable: no pixels, colour, broken or truncated data, or no decoder for the transfer syntax.
    """
    _, rows, columns = _read_size(dataset)
    syntax = UID(read.get_text(dataset.file_meta, "TransferSyntaxUID"))
    try:
        if not syntax.is_encapsulated:
            return
        if syntax in GDCM_SYNTAXES:
            _check_jpeg(dataset, rows, columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.decompress(generate_instance_uid=False, decoding_plugin=DECODER_PLUGINS.get(syntax, ""))
    except UnusableImage:
        raise
    except Exception as error:  # decoders are many and raise what they like
        raise UnusableImage("pixels cannot be decoded", read.describe_error(error)) from error


def _check_jpeg(dataset: Dataset, rows: int, columns: int) -> None:
    """Refuse JPEG frames of another size or depth than the header says, on which GDCM ends the process."""
    for frame in generate_frames(dataset.PixelData, number_of_frames=read.get_integer(dataset, "NumberOfFrames", 1)):
        at = 2
        while at + 9 <= len(frame) and frame[at] == 0xFF:
            marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
            if marker in START_OF_FRAME_MARKERS and marker not in NOT_FRAME_MARKERS:
                depth, height, width = frame[at + 4], *struct.unpack(">HH", frame[at + 5 : at + 9])
                break
            at += 2 + length
        else:
            raise UnusableImage("pixels cannot be decoded", "no JPEG frame header")
        if (height, width) != (rows, columns) or depth > read.get_integer(dataset, "BitsAllocated", 0):
            raise UnusableImage(
                "pixels do not match the header", f"{height} x {width} of {depth} bits in the JPEG data"
            )


def _read_size(dataset: Dataset) -> tuple[int, int, int]:
    """Frames, rows and columns of monochrome pixels; asked before a decoder makes room for what a header claims.

    Raises:
        Unusable: no pixels, colour, or more pixels than the data can hold.
    """
    data = next(iter(read.get_values(dataset, "PixelData")), None)
    if not isinstance(data, bytes):
        raise UnusableImage("no pixel data")
    colours = read.get_text(dataset, "PhotometricInterpretation")
    if read.get_integer(dataset, "SamplesPerPixel", 1) != 1 or not colours.startswith("MONO"):
        raise UnusableImage("not monochrome", colours or "no photometric interpretation")
    frames, rows, columns = (read.get_integer(dataset, name, 0) for name in ("NumberOfFrames", "Rows", "Columns"))
    frames = frames or 1
    room = max(MAX_FRAME_PIXELS, MAX_PIXELS_PER_BYTE * len(data))
    if min(frames, rows, columns) < 1 or rows * columns > MAX_FRAME_PIXELS or frames * rows * columns > room:
        raise UnusableImage("impossible size", f"{frames} frames, {rows} rows and {columns} columns")
    return frames, rows, columns


def apply_display_luts(
    dataset: Dataset, stored: NDArray[np.integer], apply_voi: bool
) -> tuple[NDArray[np.float32], DisplayRange | None]:
    """Stored values through the Modality LUT and, if asked, the first VOI transformation (PS3.3 C.11.1, C.11.2).

    The first item of a VOI LUT Sequence is used if there is one, else the first window with its function (absent =
    LINEAR). Photometric interpretation and padding are left to the caller.

    Returns:
        The values, and what is shown as black and as white; None when no VOI transformation was applied.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = apply_modality_lut(stored, dataset)
            limits = None
            if apply_voi and dataset.get("VOILUTSequence"):
                values = apply_voi_lut(values, dataset, index=0, prefer_lut=True)
                limits = 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
            elif apply_voi and dataset.get("WindowWidth") is not None:
                values = apply_windowing(values, dataset)
                ends = apply_windowing(np.array([-1e12, 1e12]), dataset)  # far outside every window
                limits = float(ends[0]), float(ends[1])
    except Exception as error:  # broken look-up tables of many kinds
        raise UnusableImage("look-up table or window cannot be applied", read.describe_error(error)) from error
    return np.asarray(values, dtype=np.float32), limits


def find_padding(dataset: Dataset, stored: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Where the stored values say "no image here": Pixel Padding Value to Range Limit, both inclusive, either order."""
    given = read.get_values(dataset, "PixelPaddingValue")
    if not given:
        return np.zeros(stored.shape, dtype=bool)
    first = _convert_padding_value(given[0], stored)
    last = _convert_padding_value((read.get_values(dataset, "PixelPaddingRangeLimit") or [first])[0], stored)
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _convert_padding_value(value: object, stored: NDArray[np.integer]) -> int:
    """An 'US or SS' value, which some writers store with the wrong sign."""
    try:
        number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(str(value))
    except ValueError as error:
        raise UnusableImage("broken header", "Pixel Padding Value is not a whole number") from error
    low = np.iinfo(stored.dtype).min
    return number + 2**16 if number < 0 and low == 0 else number


def decode_grey_values(dataset: Dataset, voi: bool) -> NDArray[np.float32]:
    """The picture of an instance as displayed: [0, 1], black to white, whatever its photometric interpretation.

    Args:
        voi: apply the VOI LUT or window; off = linear from the smallest to the largest value.

    Raises:
        UnusableImage: the pixels cannot be decoded, or show nothing.
    """
    stored = decode_pixels(dataset)
    empty = find_padding(dataset, stored)
    shown, limits = apply_display_luts(dataset, stored, voi)
    return _scale_grey_values(shown, limits, empty, inverted=dataset.PhotometricInterpretation == "MONOCHROME1")


def _scale_grey_values(
    shown: NDArray[np.float32], limits: DisplayRange | None, padding_mask: NDArray[np.bool_], inverted: bool
) -> NDArray[np.float32]:
    """[0, 1] from what is shown black to what is shown white; dense tissue bright; padding 0 after the inversion.

    Without a VOI transformation black and white are the smallest and largest value that is not padding; Bits Stored
    says nothing of the range that is used.
    """
    if limits is None:
        inside = shown[~padding_mask]
        limits = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
    low, high = limits
    if not np.isfinite([low, high, shown.min(), shown.max()]).all():
        raise UnusableImage("values are not finite")
    if high <= low:
        raise UnusableImage("no image", "every pixel has the same value")
    sign, zero = (-1, high) if inverted else (1, low)
    scaled = shown - np.float32(zero)  # in place from here: these are the largest arrays of a reader
    scaled *= np.float32(sign / (high - low))
    np.clip(scaled, 0, 1, out=scaled)
    scaled[padding_mask] = 0
    if scaled.max() <= scaled.min():
        raise UnusableImage("no image", "every pixel has the same value")
    return scaled
