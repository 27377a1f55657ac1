"""The standard mammographic hanging: RCC | LCC over RMLO | LMLO, chest walls back to back in the middle."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

VIEWS = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))  # as hung: the right breast on the viewer's left
SYNTHETIC_LABEL = "SYNTHETIC"
MIN_ROWS = 640  # smaller views are enlarged, so that the label stays small beside the anatomy


def hang_views(views: Mapping[tuple[str, str], NDArray[np.float32]], synthetic: bool = True) -> NDArray[np.uint8]:
    """Four views, [0, 1] as hung (laterality, view position) -> one picture, 8 bit; the place of a missing one is dark.

    Each view is labelled in its outer upper corner, away from the chest wall. Views drawn apart from one another are
    not one woman's; the caption below the picture has to say so.
    """
    dark = np.zeros_like(next(iter(views.values())))
    panes = [
        _label_view(views[key], *key, synthetic) if key in views else _label_view(dark, *key, False) for key in VIEWS
    ]
    return np.vstack([np.hstack(panes[:2]), np.hstack(panes[2:])])


def _label_view(pixels: NDArray[np.float32], laterality: str, view: str, synthetic: bool) -> NDArray[np.uint8]:
    picture = Pillow.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    times = max(1, MIN_ROWS // pixels.shape[0])
    picture = picture.resize((pixels.shape[1] * times, pixels.shape[0] * times), Pillow.Resampling.BICUBIC)
    words = f"{laterality} {view}" + (f"\n{SYNTHETIC_LABEL}" if synthetic else "")
    size = max(8, picture.height // 40)
    draw = ImageDraw.Draw(picture)
    left, _, right, _ = draw.multiline_textbbox((0, 0), words, font_size=size)
    x = size // 2 if laterality == "R" else picture.width - (right - left) - size // 2
    draw.multiline_text((x, size // 2), words, fill=170, font_size=size, align="left" if laterality == "R" else "right")
    return np.asarray(picture)
