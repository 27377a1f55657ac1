"""The report as one self-contained HTML page: measures with definition, floor and interval, and figures."""

import base64
import io
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from ganatomy.imaging.pictures import copy_png_fields
from ganatomy.machine.durable import write_text

MAX_SEPARATIONS = 12  # rows of the table of single numbers
MAX_PICTURE_WIDTH = 1600  # pixels of a picture in the page; the separate files keep their size

PATIENTS_SHOWN = (
    '<p class="bad">This page and the pictures in its folder also show images of real patients. Do not share them; only'
    " report.json and the samples contain no real images.</p>"
)
NO_PATIENTS_SHOWN = '<p class="note">The real images of this page are phantoms; it shows no patients.</p>'
BETTER = {"lower": "lower", "higher": "higher", "reals": "near the floor"}  # as the table says it

QUESTIONS = {
    "likeness": "Do they look like real images?",
    "variety": "Are they as varied?",
    "copies": "Are they free of copies?",
    "ability": "Is this comparison sensitive enough?",
}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.4rem; border-top: 1px solid #ddd; padding-top: .8rem; }
h3 { font-size: 1rem; margin-bottom: .2rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } figure { margin: 1rem 0; }
tr + tr td { border-top: 1px solid #eee; }
img { width: min(100%, 60rem); background: #000; } figcaption, small { color: #555; }
.note { background: #fff3d6; padding: .6rem 1rem; } .bad { background: #fbd5d5; padding: .6rem 1rem; }
.good { background: #ddf3e0; padding: .6rem 1rem; }
"""

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (  # heading -> beginnings of the pictures' names
    ("Told apart", ("told_apart",)),
    ("Pictures", ("random", "real_beside", "best", "failures", "real_nearest", "hanging", "masks")),
    ("Fidelity and variety", ("swd", "embedding")),
    ("Texture and values", ("spectrum", "moments")),
    ("Anatomy", ("measures",)),
    ("Privacy", ("synthetic_nearest",)),
    ("Training", ("selection", "training")),
)
DETAILS = "Details of the comparison"


def write_page(path: Path, content: dict[str, Any], pictures: dict[str, tuple[str, str]]) -> None:
    """Write the page; the figures are read from its folder and embedded."""
    tables = {
        "Told apart": _learned(content["learned"]) + _separations(content["separations"]),
        "Fidelity and variety": _swd(content["swd"]) + _scores(content),
        "Texture and values": _distributions(
            {"beta": content["spectrum"]["beta"], **content["moments"], **content["artefacts"]}
        ),
        "Anatomy": _distributions(content["measures"]) + _consistency(content["label_consistency"]),
        "Privacy": _privacy(content["privacy"]),
    }
    body, headings = [], []
    left = dict(pictures)
    for heading, names in SECTIONS:
        shown = [name for name in left if name.startswith(names)]
        parts = [tables.get(heading, ""), *(_picture(path.parent / name, *left.pop(name)) for name in shown)]
        if any(parts):
            body += [f'<h2 id="{_make_anchor(heading)}">{heading}</h2>', *parts]
            headings.append(heading)
    body += [_picture(path.parent / name, *words) for name, words in left.items()]
    body.append(_about(content))
    contents = " &middot; ".join(f'<a href="#{_make_anchor(one)}">{one}</a>' for one in [*headings, DETAILS])
    files = 'All figures: <a href="report.json">report.json</a>; suspects: <a href="suspects.csv">suspects.csv</a>'
    text = "\n".join([_head(content), f"<nav><p>{contents}</p><p>{files}.</p></nav>", *body])
    write_text(
        path,
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>ganatomy report</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>\n{text}\n</body></html>\n",
    )


def _head(content: dict[str, Any]) -> str:
    images, compared = content["images"], content["compared"]
    seen = {
        True: "that were used neither in training nor in the selection of the snapshot",
        None: "of the store's test split; it is not known, but assumed, that the model was trained on this store",
        False: "of a store that the model was NOT trained on, so that the privacy audit is not valid",
    }[compared["trained_on_this_store"]]
    constant = content["constant_images"]
    return (
        f"<h1>Synthetic images of {escape(str(images['generator']))}</h1>"
        '<p class="note">All images marked synthetic were made by a generative model. They are not for diagnosis.</p>'
        + (PATIENTS_SHOWN if compared["shows_patients"] else NO_PATIENTS_SHOWN)
        + f"<p>{compared['images_a_side']} of {compared['synthetic_images']} synthetic images at {compared['shape']}"
        f" against as many images of {compared['patients']} patients {seen}.</p>"
        + (f"<p>{constant} of the synthetic images are constant.</p>" if constant else "")
        + "".join(f'<p class="bad"><strong>{escape(line)}</strong></p>' for line in content["warnings"])
        + "".join(_verdict(one) for one in content["verdicts"])
    )


def _verdict(verdict: dict[str, str]) -> str:
    question, answer = QUESTIONS[verdict["question"]], verdict["answer"]
    colour = {"good": "good", "poor": "bad", "cannot tell": "note"}[answer]
    return f'<p class="{colour}"><strong>{question} {answer}.</strong> {escape(verdict["reason"])}</p>'


def _make_anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return '<td class="n">&ndash;</td>'
    if isinstance(value, float):
        return f'<td class="n">{value:.4g}</td>'
    if isinstance(value, int):
        return f'<td class="n">{value}</td>'
    return f"<td>{escape(str(value))}</td>"


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _learned(learned: dict[str, Any]) -> str:
    if "why" in learned:
        return f"<p>The learned two-sample test was not made. It {escape(learned['why'])}.</p>"
    rows = [(row["view"], row["auc"], _interval(row["low"], row["high"]), row["p"]) for row in learned["views"]]
    return (
        "<h3>Learned two-sample test</h3>"
        + _table(("size of the images", "AUC", "95 % interval", "p"), rows)
        + f"<p><small>{escape(learned['definition'])}. {learned['patients']} patients, {learned['samples']} samples."
        f" The largest AUC of all sizes has p = {learned['p']:.2g}, which accounts for their number. The coarsest size"
        " at which images can be distinguished shows where the difference begins.</small></p>"
    )


def _separations(rows: list[dict[str, Any]]) -> str:
    cells = [
        (row["measure"], row["held_out"], row["synthetic"], row["auc"], _interval(row["low"], row["high"]), row["p"])
        for row in rows[:MAX_SEPARATIONS]
    ]
    heads = ("measure", "held-out median", "synthetic median", "AUC", "95 % interval", "p")
    return (
        "<h3>Single numbers that separate the sets</h3>"
        + _table(heads, cells)
        + f"<p><small>The {len(cells)} of {len(rows)} numbers of an image that separate best. AUC: share of pairs in"
        " which the synthetic image has the higher (or, if this is less than half, the lower) number; p by permutation"
        " of one image per patient, over all numbers together.</small></p>"
    )


def _swd(swd: dict[str, Any]) -> str:
    floor = swd["real_floor"]["levels"]
    rows: list[tuple[Any, ...]] = [(name, value, floor[name], None) for name, value in swd["fake"]["levels"].items()]
    rows.append(("average", swd["fake"]["average"], swd["real_floor"]["average"], _interval(swd["low"], swd["high"])))
    return (
        "<h3>Sliced Wasserstein distance x 1000</h3>"
        f"{_table(('level', 'synthetic', 'real floor', '95 % interval'), rows)}<p><small>{escape(swd['protocol'])}. The"
        " floor compares training with held-out patients; a model cannot be expected to do better. The distance is not"
        " sensitive to a change of contrast of the whole set.</small></p>"
    )


def _scores(content: dict[str, Any]) -> str:
    by_extractor: dict[str, list[dict[str, Any]]] = {}
    for row in content["scores"]:
        by_extractor.setdefault(row["extractor"] or "no extractor", []).append(row)
    parts = []
    for extractor, rows in by_extractor.items():
        cells = [
            (
                row["metric"],
                row["better"] and BETTER[row["better"]],
                row["value"],
                row["floor"],
                row["excess"],
                _interval(row["low"], row["high"]),
                {True: "no", False: "yes", None: None}[row["hidden_by_floor"]],
                row["p"],
                row["images"],
                row["dimensions"],
                row["definition"],
            )
            for row in rows
        ]
        heads = (
            "",
            "better",
            "synthetic",
            "real floor",
            "excess",
            "95 % interval",
            "differs",
            "p",
            "N",
            "D",
            "definition",
        )
        words = content["extractors"].get(extractor.split(" ")[0], {}).get("words", "")
        parts.append(
            f"<h3>Features: {escape(extractor)}</h3><p><small>{escape(words)}</small></p>{_table(heads, cells)}"
        )
    parts.append(
        "<p><small>Differs: no = the floor is within the interval, so with these numbers of images no difference from"
        " real images can be detected.</small></p>"
    )
    if content["not_computed"]:
        absent = [(row["metric"], row["extractor"] or "", row["why"]) for row in content["not_computed"]]
        parts.append(f"<h3>Not computed</h3>{_table(('', 'features', 'why'), absent)}")
    if constant := content["handcrafted"].get("constant_among_reals"):
        told = ", ".join(f"{name} (synthetic differ by up to {value:.3g})" for name, value in constant.items())
        parts.append(
            f"<p><small>These features are constant among real images and were excluded: {escape(told)}.</small></p>"
        )
    return "".join(parts)


def _distributions(tables: dict[str, Any]) -> str:
    rows = []
    for name, table in tables.items():
        fake, floor = (table.get(f"{side}_against_test", {}) for side in ("synthetic", "training"))
        rows.append(
            (
                name,
                table["test"]["median"],
                table["synthetic"]["median"],
                fake.get("wasserstein"),
                floor.get("wasserstein"),
                fake.get("ks"),
                fake.get("ks_p"),
                fake.get("overlap"),
                floor.get("overlap"),
            )
        )
    heads = ("", "held-out median", "synthetic median", "Wasserstein", "its floor", "KS", "p", "overlap", "its floor")
    return _table(heads, rows) + (
        "<p><small>KS: Kolmogorov-Smirnov test; its p-value assumes independent images, although views of one patient"
        " are not independent. Overlap: area under both histograms. Floors: training against held-out patients."
        "</small></p>"
    )


def _consistency(found: dict[str, Any]) -> str:
    if not found:
        return ""
    rows = [(name, one["test"], one["synthetic"], one["definition"]) for name, one in found.items()]
    return f"<h3>Label consistency</h3>{_table(('', 'held-out', 'synthetic', ''), rows)}"


def _privacy(privacy: dict[str, Any]) -> str:
    rows = []
    for one in privacy["spaces"]:
        share, member, nearer, suspects = (
            one[key] for key in ("distance_share", "membership", "nearer_than_any_held_out", "suspects")
        )
        rows += [
            (
                one["space"],
                "share of samples nearer to a training than to a held-out image",
                share["value"],
                0.5,
                share["p"],
            ),
            ("", "membership inference, AUC", member["auc"], 0.5, member["p"]),
            (
                "",
                "membership inference, TPR at 1 % FPR",
                member.get("why") or member["tpr_at_1_percent_fpr"],
                0.01,
                None,
            ),
            (
                "",
                "samples nearer to a training image than any held-out image",
                nearer["count"],
                nearer["expected"],
                None,
            ),
            (
                "",
                "samples with an unusually small ratio of distances (suspects)",
                suspects["count"],
                suspects["expected"],
                suspects["p"],
            ),
        ]
    power = [
        (f"{row['share']:g} %", f"{row['copies']} of {row['of']}", row["detected"], row["among_pairs_shown"])
        for row in privacy["power"]
    ]
    return (
        _table(("space", "test", "measured", "expected without copies", "p"), rows)
        + "<h3>Sensitivity, measured with planted copies</h3>"
        + _table(("planted", "copies", "audit fails (share of sets)", "a copy is among the pairs shown"), power)
        + "<h3>Copies that a model has changed</h3>"
        + _table(
            ("training images", "found as suspects", "of"),
            [(row["copies"], row["detected"], row["of"]) for row in privacy["transformed_copies"]],
        )
        + f"<p><small>{escape(privacy['jitter'])}. Distances to a real image are divided by that image's own"
        " distance to its third nearest image of another patient. The ratio is the distance to the nearest training"
        " image divided by that to the nearest held-out image. The audit fails if any test is significant at 5 % after"
        " Bonferroni correction.</small></p>"
    )


def _picture(path: Path, title: str, caption: str) -> str:
    with Pillow.open(path, formats=("PNG",)) as picture:
        picture.thumbnail((MAX_PICTURE_WIDTH, MAX_PICTURE_WIDTH * 4))
        data = io.BytesIO()
        picture.save(data, format="PNG", optimize=True, pnginfo=copy_png_fields(picture))
    source = base64.b64encode(data.getvalue()).decode()
    return (
        f'<h3>{escape(title)}</h3><figure><img alt="{escape(title)}" src="data:image/png;base64,{source}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _about(content: dict[str, Any]) -> str:
    rows = {
        **content["images"],
        **{f"store {k}": v for k, v in content["store"].items()},
        **{f"extractor {name}": f"{e['words']}; SHA-256 {e['sha256']}" for name, e in content["extractors"].items()},
        "score for artefacts": content["failures"]["definition"],
        "held-out images": content["compared"]["real_split"],
        "held-out store": content["compared"]["held_out_store"],
        "seed": content["compared"]["seed"],
    }
    return f'<h2 id="{_make_anchor(DETAILS)}">{DETAILS}</h2>{_table(("", ""), ((k, str(v)) for k, v in rows.items()))}'
