"""The breast of a mammogram: what is brighter than the background that the image itself shows.

A detector's background is black. In simulated images, on film and on storage phosphor plates it is not: air, the edge
of the compression plate and fog have grey values of their own. They fill much of the frame of the picture away from the
chest wall, are flat, and are darker than the breast; each such level is taken for background, from dark to bright.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ganatomy.modalities.tissue import Mask

BLACK = 0.02  # of the displayed range; what is darker is background in any image
FRAME_SHARE = 0.01  # of rows and columns: the frame in which levels are looked for
SMOOTHING = 5  # pixels that a level is averaged over, where grain hides it
LEVEL_WIDTH = 0.015  # of the range, to both sides of the middle of a level
MIN_LEVEL_SHARE = 0.2  # of the frame that a level of the background fills
MAX_LEVEL = 0.6  # of the median of what is brighter; the frame of a breast that is cut at its edge is brighter
MAX_STEP = 0.012  # of the range, between neighbours within a level, in the median: the grain that smoothing leaves
MAX_LEVELS = 8
MIN_BACKGROUND = 0.02  # of the image; with less of it there is none to tell the breast from
MAX_FRAME_ABOVE = 0.35  # of the frame that the breast may fill; more is a background that was not found whole
MIN_BREAST = 0.01  # of the image
GRAINS = 3.0  # standard deviations of the grain above a level that still are background


def find_background(pixels: NDArray[np.float32]) -> float | None:
    """Find the grey value up to which an image in [0, 1] is background; None where the image shows no background."""
    smooth = _smooth(pixels)
    frame = _cut_frame(smooth)
    level = BLACK
    for _ in range(MAX_LEVELS):
        if (found := _find_next_level(smooth, frame, level)) is None:
            break
        level = found
    above = float(_select(pixels, smooth, level).mean())
    if level == BLACK:
        return None if above > 1 - MIN_BACKGROUND else level
    return level if above >= MIN_BREAST and (frame > level).mean() <= MAX_FRAME_ABOVE else None


def segment_above(pixels: NDArray[np.float32], level: float) -> Mask:
    """Segment what is brighter than the background level; grain is averaged where the background is not black."""
    return _select(pixels, _smooth(pixels), level)


def _select(pixels: NDArray[np.float32], smooth: NDArray[np.float32], level: float) -> Mask:
    return np.asarray((pixels if level <= BLACK else smooth) > level)


def _smooth(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.uniform_filter(pixels, SMOOTHING, mode="nearest"))


def _cut_frame(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pixels along all edges but the brighter one of left and right, which is the chest wall."""
    rows, columns = (max(1, round(FRAME_SHARE * n)) for n in smooth.shape)
    left, right = smooth[:, :columns], smooth[:, -columns:]
    far = right if left.mean() >= right.mean() else left
    return np.concatenate([smooth[:rows].ravel(), smooth[-rows:].ravel(), far.ravel()])


def _find_next_level(smooth: NDArray[np.float32], frame: NDArray[np.float32], level: float) -> float | None:
    """Find the upper end of a flat level of the frame that is darker than the breast and brighter than `level`."""
    bright = frame[frame > level]
    if bright.size < MIN_LEVEL_SHARE * frame.size:
        return None
    counts, edges = np.histogram(bright, bins=np.arange(level, 1 + 2 * LEVEL_WIDTH, LEVEL_WIDTH))
    middle = float(edges[counts.argmax()] + LEVEL_WIDTH / 2)
    near = (np.abs(frame - middle) <= LEVEL_WIDTH) & (frame > level)
    if near.mean() < MIN_LEVEL_SHARE:
        return None
    inside = np.abs(smooth - middle) <= LEVEL_WIDTH
    brighter = smooth[smooth > middle + LEVEL_WIDTH]
    if brighter.size < MIN_BREAST * smooth.size or middle > MAX_LEVEL * float(np.median(brighter)):
        return None
    steps = np.abs(np.diff(smooth, axis=0))[inside[1:] & inside[:-1]]
    if not steps.size or float(np.median(steps)) > MAX_STEP:
        return None
    values = smooth[inside]
    return max(level + LEVEL_WIDTH / 2, middle + max(LEVEL_WIDTH, GRAINS * float(values.std())))
