"""The standard mammographic hanging: RCC | LCC above RMLO | LMLO, with the chest walls together in the middle."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from ganatomy.dicom import write_mammogram
from ganatomy.dicom.mammogram_instances import get_laterality_and_view
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import mark_synthetic
from ganatomy.imaging.pictures import save_png

VIEWS = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))  # as hung: the right breast on the viewer's left
SYNTHETIC_LABEL = "SYNTHETIC"
MIN_ROWS = 640  # smaller views are enlarged, so that the label stays small beside the anatomy


def hang_views(views: Mapping[tuple[str, str], NDArray[np.float32]], synthetic: bool = True) -> NDArray[np.uint8]:
    """Hang up to four views by (laterality, view position), in [0, 1], as one 8-bit picture; missing views are dark.

    Each view is labelled in its outer upper corner, away from the chest wall. Views that were drawn independently do
    not show one woman; the caption of the picture has to say so.
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


class HangingWriter:
    """Writes the standard mammographic hanging, one picture a study; views that have not been written stay dark."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.counts: Counter[tuple[str, str]] = Counter()
        self.studies: dict[int, dict[tuple[str, str], tuple[Image, dict[str, Any]]]] = {}

    def __call__(self, image: Image, shown: Image, record: dict[str, Any]) -> str:
        key = get_laterality_and_view(shown, "The hanging")
        self.counts[key] += 1
        number = self.counts[key]
        study = self.studies.setdefault(number, {})
        study[key] = shown, record
        records = [made for _, made in study.values()]
        mark = mark_synthetic(records, write_mammogram.make_comments(drawn_apart=True))
        file = f"study-{number:06d}.png"
        save_png(hang_views({view: one.pixels for view, (one, _) in study.items()}), self.out / file, mark)
        if len(study) == len(VIEWS):
            del self.studies[number]
        return file
