"""One self-contained HTML page: numbers with their protocol, and the pictures."""

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from ganatomy.durable import write_text

WIDEST = 1600  # pixels of a picture in the page; the files beside it keep their size

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } figure { margin: 1rem 0; }
img { width: min(100%, 56rem); background: #000; } figcaption, small { color: #555; }
.note { background: #fff3d6; padding: .6rem 1rem; }
"""


def write(path: Path, content: dict[str, Any], pictures: dict[str, tuple[str, str]]) -> None:
    """Write the page; the pictures lie beside it and are put into it."""
    parts = [_head(content), _swd(content["swd"]), _neighbours(content["nearest"], content["compared"])]
    parts += [_picture(path.parent / name, title, caption) for name, (title, caption) in pictures.items()]
    parts.append(_about(content))
    body = "\n".join(parts)
    write_text(
        path,
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>ganatomy report</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n",
    )


def _head(content: dict[str, Any]) -> str:
    images, compared = content["images"], content["compared"]
    return (
        f"<h1>Synthetic images of {escape(images['generator'])}</h1>"
        '<p class="note">All images marked synthetic were made by a generative model. They are not for diagnosis.</p>'
        f"<p>{compared['images_a_side']} samples at {compared['shape']} against as many images of patients that neither"
        " training nor the selection of the snapshot has seen.</p>"
    )


def _swd(swd: dict[str, Any]) -> str:
    rows = [(name, value, swd["real_floor"]["levels"][name]) for name, value in swd["fake"]["levels"].items()]
    rows.append(("average", swd["fake"]["average"], swd["real_floor"]["average"]))
    cells = "".join(f'<tr><td>{n}</td><td class="n">{a:.2f}</td><td class="n">{b:.2f}</td></tr>' for n, a, b in rows)
    return (
        "<h2>Sliced Wasserstein distance</h2><table><tr><th>level</th><th>synthetic</th><th>real floor</th></tr>"
        f"{cells}</table><p><small>{escape(swd['protocol'])}. The floor compares training with test patients: a model"
        " cannot be expected to do better. The distance does not see a change of contrast of the whole set.</small></p>"
    )


def _neighbours(found: dict[str, Any], compared: dict[str, Any]) -> str:
    medians = found["medians"]
    return (
        "<h2>Nearest training images</h2>"
        f"<p>Median correlation with the nearest training image: synthetic {medians['fake_to_train']:.3f}, test images"
        f" {medians['test_to_train']:.3f}. {found['closer_than_any_test_image']} of {compared['images_a_side']} samples"
        " come closer to a training image than any test image does.</p>"
        f"<p><small>{escape(found['measure'])}. This is a look for copies, not a proof that there are none.</small></p>"
    )


def _picture(path: Path, title: str, caption: str) -> str:
    with Pillow.open(path) as picture:
        picture.thumbnail((WIDEST, WIDEST * 4))
        data = io.BytesIO()
        picture.save(data, format="PNG", optimize=True)
    source = base64.b64encode(data.getvalue()).decode()
    return (
        f'<h2>{escape(title)}</h2><figure><img alt="{escape(title)}" src="data:image/png;base64,{source}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _about(content: dict[str, Any]) -> str:
    rows = {**content["images"], **{f"store {k}": v for k, v in content["store"].items()}}
    cells = "".join(f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in rows.items())
    return f"<h2>What was measured</h2><table>{cells}</table>"
