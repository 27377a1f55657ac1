"""The pixels of anybody's instances: decoded by what survives broken data, brought to display values."""

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

MAX_FRAME_PIXELS = 2**26  # pixels; a header that claims more is broken
MAX_PIXELS_PER_BYTE = 1000  # pixels in a byte of compressed data; more frames than this holds are a broken header
# Those that survive: GDCM ends the process when a header lies about the size, pylibjpeg's RLE panics.
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
LOSSY_SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)  # JPEG 2000 tells by its attribute


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
    """Decode in place by the first decoder that can."""
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
    """Shift stored values whose High Bit is above Bits Stored - 1 down to where PS3.5 8.1.1 has them today.

    Raises:
        UnusableImage: High Bit says that they are shifted, and they are not.
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
                ends = apply_windowing(np.array([-1e12, 1e12]), dataset)  # far outside every window
                limits = float(ends[0]), float(ends[1])
    except UnusableImage:
        raise
    except Exception as error:  # broken look-up tables of many kinds
        raise UnusableImage("look-up table or window cannot be applied", read.describe_error(error)) from error
    return np.asarray(values, dtype=np.float32), limits


def _complete_rescale(dataset: Dataset) -> None:
    """Rescale Slope without Intercept, and the other way round, with the value that changes nothing (PS3.3 C.11.1).

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
    """The first item of the VOI LUT Sequence that holds a table."""
    items = read.get_items(dataset, "VOILUTSequence")
    return next((i for i, item in enumerate(items) if read.get_values(item, "LUTData")), None)


def _find_lut_depth(item: Dataset) -> int:
    """Bits of what a look-up table gives: as its descriptor says, unless all entries fit into a quarter of that.

    Some writers say 16 bits over a table of 12 (PS3.3 C.11.2.1.1 makes the third value the range of the output).
    """
    said = int(read.get_numbers(item, "LUTDescriptor", 3)[2])
    data = read.get_values(item, "LUTData")
    entries = np.frombuffer(data[0], dtype="<u2") if isinstance(data[0], bytes) else np.array(data)
    held = max(1, int(entries.max()).bit_length())
    return held if held <= said - 2 else said


def _has_empty_window(dataset: Dataset) -> bool:
    """Whether the window is 0 wide, as programs that blank headers leave it."""
    return (*read.get_numbers(dataset, "WindowWidth"), 1.0)[0] <= 0


def find_doubts(dataset: Dataset) -> tuple[Doubt, ...]:
    """What is doubtful about pixels and their look-up tables; asked before they are decoded.

    Lossy compression is one: it changes the fine texture of an image.
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
    """Where the stored values say "no image here": Pixel Padding Value to Range Limit, both inclusive, either order."""
    given = read.get_values(dataset, "PixelPaddingValue")
    if not given:
        return np.zeros(stored.shape, dtype=bool)
    signed = bool(np.iinfo(stored.dtype).min)
    first = convert_padding_value(given[0], signed)
    last = convert_padding_value((read.get_values(dataset, "PixelPaddingRangeLimit") or [first])[0], signed)
    return (stored >= min(first, last)) & (stored <= max(first, last))


def convert_padding_value(value: object, signed: bool) -> int:
    """An 'US or SS' value, which some writers store with the wrong sign.

    Raises:
        UnusableImage: it is not a whole number.
    """
    try:
        number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(str(value))
    except ValueError as error:
        raise UnusableImage("broken header", "Pixel Padding Value is not a whole number") from error
    if signed and number >= 2**15:
        return number - 2**16
    return number + 2**16 if number < 0 and not signed else number


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
