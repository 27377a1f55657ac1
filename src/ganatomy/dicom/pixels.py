"""Decoding of pixels of any origin with decoders that survive broken data, and their conversion to display values."""

import warnings

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ganatomy.dicom import jpeg, read
from ganatomy.imaging.image import Doubt, UnusableImage

DisplayRange = tuple[float, float]

MAX_FRAME_PIXELS = 2**26  # a header with more is broken
MAX_PIXELS_PER_BYTE = 1000  # of compressed data; a header that needs more is broken
# Decoders that raise errors; GDCM ends the process if a header gives a wrong size, and pylibjpeg's RLE decoder panics.
DECODER_PLUGINS = {
    RLELossless: ("pydicom",),
    JPEGLSLossless: ("pyjpegls", "gdcm"),
    JPEGLSNearLossless: ("pyjpegls", "gdcm"),
    JPEG2000Lossless: ("pylibjpeg",),
    JPEG2000: ("pylibjpeg",),
    JPEGBaseline8Bit: ("pillow",),
    JPEGLossless: ("gdcm",),
    JPEGLosslessSV1: ("gdcm",),
    JPEGExtended12Bit: ("gdcm",),
}
LOSSY_SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)  # JPEG 2000 has an attribute for it


def decode_pixels(dataset: Dataset) -> NDArray[np.integer]:
    """Decode the stored values of a single-frame monochrome instance to (rows, columns).

    Raises:
        UnusableImage: the pixels are absent, truncated or coloured, there are several frames, or there is no decoder
            for the transfer syntax.
    """
    if (frames := read.get_integer(dataset, "NumberOfFrames", 1)) != 1:
        raise UnusableImage("several frames", f"{frames} frames where one was expected")
    return decode_frames(dataset)


def decode_frames(dataset: Dataset) -> NDArray[np.integer]:
    """Decode the stored values of a monochrome instance to (rows, columns), or (frames, rows, columns) for several.

    Raises:
        UnusableImage: the pixels are absent, truncated or coloured, or there is no decoder for the transfer syntax.
    """
    frames, rows, columns = _read_size(dataset)
    decompress_pixels(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(dataset.pixel_array)
    except Exception as error:  # decoders raise errors of many kinds
        raise UnusableImage("pixels cannot be decoded", read.describe_error(error)) from error
    if pixels.shape != ((rows, columns) if frames == 1 else (frames, rows, columns)):
        raise UnusableImage("pixels do not match the header", f"{pixels.shape} against {frames} x {rows} x {columns}")
    return pixels


def decompress_pixels(dataset: Dataset) -> None:
    """Decode the pixels of a data set in place; pixels that are not compressed are left unchanged.

    Raises:
        UnusableImage: the pixels are absent, coloured, broken or truncated, or there is no decoder for the transfer
            syntax.
    """
    _, rows, columns = _read_size(dataset)
    syntax = UID(read.get_text(dataset.file_meta, "TransferSyntaxUID"))
    try:
        if not syntax.is_encapsulated:
            _align_bits(dataset)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _decompress(dataset, syntax, rows, columns)
    except UnusableImage:
        raise
    except Exception as error:  # decoders are many and raise what they like
        raise UnusableImage("pixels cannot be decoded", f"{syntax.name}: {read.describe_error(error)}") from error


def _decompress(dataset: Dataset, syntax: UID, rows: int, columns: int) -> None:
    """Decode in place with the first decoder that succeeds."""
    if syntax == JPEGExtended12Bit and read.get_integer(dataset, "BitsStored", 0) > 8:
        jpeg.check_frames(dataset, rows, columns)
        dataset.PixelData = jpeg.decode_extended_frames(dataset).astype("<u2").tobytes()
        dataset["PixelData"].is_undefined_length = False
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return
    refusals: list[Exception] = []
    for plugin in DECODER_PLUGINS.get(syntax, ("",)):
        if plugin == "gdcm":
            jpeg.check_frames(dataset, rows, columns)
        try:
            dataset.decompress(generate_instance_uid=False, decoding_plugin=plugin)
            return
        except Exception as error:  # decoders are many and raise what they like
            refusals.append(error)
    raise refusals[0]


def _align_bits(dataset: Dataset) -> None:
    """Shift stored values down if High Bit is above Bits Stored - 1, as PS3.5 8.1.1 requires today.

    Raises:
        UnusableImage: the values are not shifted as High Bit states.
    """
    allocated, stored = (read.get_integer(dataset, name, 0) for name in ("BitsAllocated", "BitsStored"))
    shift = read.get_integer(dataset, "HighBit", stored - 1) - (stored - 1)
    if shift <= 0 or allocated not in (8, 16) or shift + stored > allocated:
        return
    values = np.frombuffer(dataset.PixelData, dtype="<u2" if allocated == 16 else "u1", count=-1)
    if (values & (2**shift - 1)).any():
        raise UnusableImage(
            "contradictory bits", f"High Bit says that the lowest {shift} bits of a value are unused, and they are used"
        )
    dataset.PixelData = (values >> shift).tobytes()
    dataset.HighBit = stored - 1


def _read_size(dataset: Dataset) -> tuple[int, int, int]:
    """Read frames, rows and columns of monochrome pixels, before a decoder allocates memory for them.

    Raises:
        UnusableImage: the pixels are absent or coloured, or the header states more pixels than the data can hold.
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
    """Apply the Modality LUT and, if requested, the first VOI transformation (PS3.3 C.11.1, C.11.2).

    The first item of a VOI LUT Sequence is used if there is one, otherwise the first window with its function (absent =
    LINEAR). The caller handles photometric interpretation and padding.

    Returns:
        The values, and the values displayed as black and as white; None if no VOI transformation was applied.

    Raises:
        UnusableImage: a look-up table, a window or the rescale attributes are broken.
    """
    _complete_rescale(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = apply_modality_lut(stored, dataset)
            limits = None
            if apply_voi and (table := _find_voi_lut(dataset)) is not None:
                values = apply_voi_lut(values, dataset, index=table, prefer_lut=True)
                limits = 0.0, 2.0 ** _find_lut_depth(dataset.VOILUTSequence[table]) - 1
            elif apply_voi and dataset.get("WindowWidth") is not None and not _has_empty_window(dataset):
                values = apply_windowing(values, dataset)
                ends = apply_windowing(np.array([-1e12, 1e12]), dataset)  # values outside every window
                limits = float(ends[0]), float(ends[1])
    except UnusableImage:
        raise
    except Exception as error:  # broken look-up tables raise errors of many kinds
        raise UnusableImage("look-up table or window cannot be applied", read.describe_error(error)) from error
    return np.asarray(values, dtype=np.float32), limits


def _complete_rescale(dataset: Dataset) -> None:
    """Add a missing Rescale Slope of 1 or Rescale Intercept of 0, which change nothing (PS3.3 C.11.1).

    Raises:
        UnusableImage: the slope is zero.
    """
    slope, intercept = read.get_numbers(dataset, "RescaleSlope"), read.get_numbers(dataset, "RescaleIntercept")
    if slope and slope[0] == 0:
        raise UnusableImage("broken header", "Rescale Slope is 0, which makes all values equal")
    for name, values, other, neutral in (
        ("RescaleSlope", slope, intercept, "1"),
        ("RescaleIntercept", intercept, slope, "0"),
    ):
        if not values and other:
            setattr(dataset, name, neutral)
        elif not values and name in dataset:
            del dataset[name]


def _find_voi_lut(dataset: Dataset) -> int | None:
    """Find the first item of the VOI LUT Sequence with a table; returns its index."""
    items = read.get_items(dataset, "VOILUTSequence")
    return next((i for i, item in enumerate(items) if read.get_values(item, "LUTData")), None)


def _find_lut_depth(item: Dataset) -> int:
    """Find the output bits of a look-up table: those of its descriptor, unless a quarter of the range suffices.

    Some programs write 16 bits for a table of 12 bits (PS3.3 C.11.2.1.1: the third value gives the output range).
    """
    said = int(read.get_numbers(item, "LUTDescriptor", 3)[2])
    data = read.get_values(item, "LUTData")
    entries = np.frombuffer(data[0], dtype="<u2") if isinstance(data[0], bytes) else np.array(data)
    held = max(1, int(entries.max()).bit_length())
    return held if held <= said - 2 else said


def _has_empty_window(dataset: Dataset) -> bool:
    """Whether the window has a width of 0, as left by programs that blank headers."""
    return (*read.get_numbers(dataset, "WindowWidth"), 1.0)[0] <= 0


def find_doubts(dataset: Dataset) -> tuple[Doubt, ...]:
    """Find doubts about pixels and their look-up tables before they are decoded.

    Lossy compression is a doubt, since it changes the fine texture of an image.
    """
    found = []
    syntax = UID(read.get_text(dataset.file_meta, "TransferSyntaxUID"))
    if syntax in LOSSY_SYNTAXES or read.get_text(dataset, "LossyImageCompression") == "01":
        ratio = read.get_numbers(dataset, "LossyImageCompressionRatio")
        words = f", ratio {', '.join(f'{value:g}' for value in ratio)}" if ratio else ""
        found.append(Doubt("lossy compression", f"{syntax.name}{words}"))
    if read.get_numbers(dataset, "RescaleIntercept") and not read.get_numbers(dataset, "RescaleSlope"):
        found.append(Doubt("no rescale slope", "Rescale Slope is absent beside Rescale Intercept; 1 was taken"))
    if (table := _find_voi_lut(dataset)) is not None:
        item = dataset.VOILUTSequence[table]
        said, held = int(read.get_numbers(item, "LUTDescriptor", 3)[2]), _find_lut_depth(item)
        if held < said:
            found.append(
                Doubt("depth of the VOI LUT", f"{said} bits are said, its entries have {held}; {held} were taken")
            )
    elif _has_empty_window(dataset):
        found.append(Doubt("empty window", "Window Width is 0; black and white are the smallest and largest value"))
    return tuple(found)


def find_padding(dataset: Dataset, stored: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Find padding: stored values from Pixel Padding Value to Range Limit, both inclusive, in either order."""
    given = read.get_values(dataset, "PixelPaddingValue")
    if not given:
        return np.zeros(stored.shape, dtype=bool)
    signed = bool(np.iinfo(stored.dtype).min)
    first = convert_padding_value(given[0], signed)
    last = convert_padding_value((read.get_values(dataset, "PixelPaddingRangeLimit") or [first])[0], signed)
    return (stored >= min(first, last)) & (stored <= max(first, last))


def convert_padding_value(value: object, signed: bool) -> int:
    """Convert a value of representation 'US or SS', which some programs store with the wrong sign.

    Raises:
        UnusableImage: the value is not an integer.
    """
    try:
        number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(str(value))
    except ValueError as error:
        raise UnusableImage("broken header", "Pixel Padding Value is not a whole number") from error
    if signed and number >= 2**15:
        return number - 2**16
    return number + 2**16 if number < 0 and not signed else number


def decode_grey_values(dataset: Dataset, voi: bool) -> NDArray[np.float32]:
    """Decode an instance to grey values in [0, 1] as displayed, black to white, for any photometric interpretation.

    Args:
        voi: apply the VOI LUT or window; False = linear from the smallest to the largest value.

    Raises:
        UnusableImage: the pixels cannot be decoded, or all of them have the same value.
    """
    stored = decode_pixels(dataset)
    empty = find_padding(dataset, stored)
    shown, limits = apply_display_luts(dataset, stored, voi)
    return _scale_grey_values(shown, limits, empty, inverted=dataset.PhotometricInterpretation == "MONOCHROME1")


def _scale_grey_values(
    shown: NDArray[np.float32], limits: DisplayRange | None, padding_mask: NDArray[np.bool_], inverted: bool
) -> NDArray[np.float32]:
    """Scale values to [0, 1] from black to white with dense tissue bright; padding is 0 after the inversion.

    Without a VOI transformation black and white are the smallest and largest values outside the padding, since Bits
    Stored does not tell which range is used.
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
    scaled = shown - np.float32(zero)  # in place from here, since these are the largest arrays
    scaled *= np.float32(sign / (high - low))
    np.clip(scaled, 0, 1, out=scaled)
    scaled[padding_mask] = 0
    if scaled.max() <= scaled.min():
        raise UnusableImage("no image", "every pixel has the same value")
    return scaled
