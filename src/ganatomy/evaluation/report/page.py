"""The report as one self-contained HTML page: measures with definition, floor and interval, and figures."""

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image as Pillow

from ganatomy.evaluation.report.table import Table
from ganatomy.imaging.pictures import copy_png_fields
from ganatomy.machine.durable import write_text
from ganatomy.machine.templates import render_template

MAX_SEPARATIONS = 12  # rows of the table of single numbers
MAX_PICTURE_WIDTH = 1600  # pixels of a picture in the page; the separate files keep their size

BETTER = {"lower": "lower", "higher": "higher", "reals": "near the floor"}  # as the table says it

QUESTIONS = {
    "likeness": "Do they look like real images?",
    "variety": "Are they as varied?",
    "copies": "Are they free of copies?",
    "ability": "Is this comparison sensitive enough?",
}

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (  # heading -> beginnings of the pictures' names
    ("Told apart", ("told_apart",)),
    ("Pictures", ("random", "real_beside", "best", "failures", "real_nearest", "hanging", "masks")),
    ("Fidelity and variety", ("swd", "embedding")),
    ("Texture and values", ("spectrum", "moments")),
    ("Anatomy", ("measures",)),
    ("Privacy", ("synthetic_nearest",)),
    ("Training", ("selection", "training")),
)
OTHERS, DETAILS = "Other pictures", "Details of the comparison"


class Picture(NamedTuple):
    """A picture of the page; `data` is its PNG file in base64."""

    title: str
    caption: str
    data: str


class Section(NamedTuple):
    """A part of the page."""

    heading: str
    tables: list[Table]
    pictures: list[Picture]


def write_page(path: Path, content: dict[str, Any], pictures: dict[str, tuple[str, str]]) -> None:
    """Write the page.

    Args:
        path: file of the page; the pictures lie in its folder and are embedded.
        content: the content of `report.json`.
        pictures: title and caption of each picture, by the name of its file.
    """
    write_text(
        path,
        render_template(
            "report.html",
            content=content,
            questions=QUESTIONS,
            sections=[one for one in _make_sections(path.parent, content, pictures) if one.tables or one.pictures],
        ),
    )


def _make_sections(folder: Path, content: dict[str, Any], pictures: dict[str, tuple[str, str]]) -> list[Section]:
    tables = {
        "Told apart": [_tabulate_learned_test(content["learned"]), _tabulate_separations(content["separations"])],
        "Fidelity and variety": [_tabulate_swd(content["swd"]), *_tabulate_scores(content)],
        "Texture and values": [
            _tabulate_distributions({"beta": content["spectrum"]["beta"], **content["moments"], **content["artefacts"]})
        ],
        "Anatomy": [_tabulate_distributions(content["measures"]), *_tabulate_consistency(content["label_consistency"])],
        "Privacy": _tabulate_privacy(content["privacy"]),
    }
    left = dict(pictures)
    sections = []
    for heading, names in SECTIONS:
        shown = [_read_picture(folder / name, *left.pop(name)) for name in [*left] if name.startswith(names)]
        sections.append(Section(heading, tables.get(heading, []), shown))
    others = [_read_picture(folder / name, *words) for name, words in left.items()]
    return [*sections, Section(OTHERS, [], others), Section(DETAILS, [_tabulate_details(content)], [])]


def _format_interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _tabulate_learned_test(learned: dict[str, Any]) -> Table:
    title = "Learned two-sample test"
    if "why" in learned:
        return Table(title, caption=f"The learned two-sample test was not made. It {learned['why']}.")
    return Table(
        title,
        ("size of the images", "AUC", "95 % interval", "p"),
        [(row["view"], row["auc"], _format_interval(row["low"], row["high"]), row["p"]) for row in learned["views"]],
        f"{learned['definition']}. {learned['patients']} patients, {learned['samples']} samples. The largest AUC of all"
        f" sizes has p = {learned['p']:.2g}, which accounts for their number. The coarsest size at which images can be"
        " distinguished shows where the difference begins.",
    )


def _tabulate_separations(rows: list[dict[str, Any]]) -> Table:
    cells = [
        (
            row["measure"],
            row["held_out"],
            row["synthetic"],
            row["auc"],
            _format_interval(row["low"], row["high"]),
            row["p"],
        )
        for row in rows[:MAX_SEPARATIONS]
    ]
    return Table(
        "Single numbers that separate the sets",
        ("measure", "held-out median", "synthetic median", "AUC", "95 % interval", "p"),
        cells,
        f"The {len(cells)} of {len(rows)} numbers of an image that separate best. AUC: share of pairs in which the"
        " synthetic image has the higher (or, if this is less than half, the lower) number; p by permutation of one"
        " image per patient, over all numbers together.",
    )


def _tabulate_swd(swd: dict[str, Any]) -> Table:
    floor = swd["real_floor"]["levels"]
    rows: list[tuple[Any, ...]] = [(name, value, floor[name], None) for name, value in swd["fake"]["levels"].items()]
    interval = _format_interval(swd["low"], swd["high"])
    rows.append(("average", swd["fake"]["average"], swd["real_floor"]["average"], interval))
    return Table(
        "Sliced Wasserstein distance x 1000",
        ("level", "synthetic", "real floor", "95 % interval"),
        rows,
        f"{swd['protocol']}. The floor compares training with held-out patients; a model cannot be expected to do"
        " better. The distance is not sensitive to a change of contrast of the whole set.",
    )


SCORE_HEADS = (
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


def _tabulate_scores(content: dict[str, Any]) -> list[Table]:
    """One table for each extractor, then what was not computed and which features were left out."""
    by_extractor: dict[str, list[dict[str, Any]]] = {}
    for row in content["scores"]:
        by_extractor.setdefault(row["extractor"] or "no extractor", []).append(row)
    tables = [
        Table(
            f"Features: {extractor}",
            SCORE_HEADS,
            [_list_score(row) for row in rows],
            intro=content["extractors"].get(extractor.split(" ")[0], {}).get("words", ""),
        )
        for extractor, rows in by_extractor.items()
    ]
    differs = (
        "Differs: no = the floor is within the interval, so with these numbers of images no difference from real images"
        " can be detected."
    )
    tables.append(Table(caption=differs))
    if content["not_computed"]:
        absent = [(row["metric"], row["extractor"] or "", row["why"]) for row in content["not_computed"]]
        tables.append(Table("Not computed", ("", "features", "why"), absent))
    if constant := content["handcrafted"].get("constant_among_reals"):
        told = ", ".join(f"{name} (synthetic differ by up to {value:.3g})" for name, value in constant.items())
        tables.append(Table(caption=f"These features are constant among real images and were excluded: {told}."))
    return tables


def _list_score(row: dict[str, Any]) -> tuple[Any, ...]:
    """The cells of a score, in the order of `SCORE_HEADS`."""
    return (
        row["metric"],
        row["better"] and BETTER[row["better"]],
        row["value"],
        row["floor"],
        row["excess"],
        _format_interval(row["low"], row["high"]),
        {True: "no", False: "yes", None: None}[row["hidden_by_floor"]],
        row["p"],
        row["images"],
        row["dimensions"],
        row["definition"],
    )


def _tabulate_distributions(tables: dict[str, Any]) -> Table:
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
    return Table(
        heads=(
            "",
            "held-out median",
            "synthetic median",
            "Wasserstein",
            "its floor",
            "KS",
            "p",
            "overlap",
            "its floor",
        ),
        rows=rows,
        caption="KS: Kolmogorov-Smirnov test; its p-value assumes independent images, although views of one patient are"
        " not independent. Overlap: area under both histograms. Floors: training against held-out patients.",
    )


def _tabulate_consistency(found: dict[str, Any]) -> list[Table]:
    rows = [(name, one["test"], one["synthetic"], one["definition"]) for name, one in found.items()]
    return [Table("Label consistency", ("", "held-out", "synthetic", ""), rows)] if rows else []


def _tabulate_privacy(privacy: dict[str, Any]) -> list[Table]:
    tests = [row for one in privacy["spaces"] for row in _list_privacy_tests(one)]
    power = [
        (f"{row['share']:g} %", f"{row['copies']} of {row['of']}", row["detected"], row["among_pairs_shown"])
        for row in privacy["power"]
    ]
    changed = [(row["copies"], row["detected"], row["of"]) for row in privacy["transformed_copies"]]
    return [
        Table(heads=("space", "test", "measured", "expected without copies", "p"), rows=tests),
        Table(
            "Sensitivity, measured with planted copies",
            ("planted", "copies", "audit fails (share of sets)", "a copy is among the pairs shown"),
            power,
        ),
        Table(
            "Copies that a model has changed",
            ("training images", "found as suspects", "of"),
            changed,
            f"{privacy['jitter']}. Distances to a real image are divided by that image's own distance to its third"
            " nearest image of another patient. The ratio is the distance to the nearest training image divided by that"
            " to the nearest held-out image. The audit fails if any test is significant at 5 % after Bonferroni"
            " correction.",
        ),
    ]


def _list_privacy_tests(one: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of the tests in one space of features."""
    share, member, nearer, suspects = (
        one[key] for key in ("distance_share", "membership", "nearer_than_any_held_out", "suspects")
    )
    rate = member.get("why") or member["tpr_at_1_percent_fpr"]
    name = "share of samples nearer to a training than to a held-out image"
    return [
        (one["space"], name, share["value"], 0.5, share["p"]),
        ("", "membership inference, AUC", member["auc"], 0.5, member["p"]),
        ("", "membership inference, TPR at 1 % FPR", rate, 0.01, None),
        ("", "samples nearer to a training image than any held-out image", nearer["count"], nearer["expected"], None),
        (
            "",
            "samples with an unusually small ratio of distances (suspects)",
            suspects["count"],
            suspects["expected"],
            suspects["p"],
        ),
    ]


def _tabulate_details(content: dict[str, Any]) -> Table:
    rows = {
        **content["images"],
        **{f"store {k}": v for k, v in content["store"].items()},
        **{f"extractor {name}": f"{e['words']}; SHA-256 {e['sha256']}" for name, e in content["extractors"].items()},
        "score for artefacts": content["failures"]["definition"],
        "held-out images": content["compared"]["real_split"],
        "held-out store": content["compared"]["held_out_store"],
        "seed": content["compared"]["seed"],
    }
    return Table(heads=("", ""), rows=[(name, str(value)) for name, value in rows.items()])


def _read_picture(path: Path, title: str, caption: str) -> Picture:
    with Pillow.open(path, formats=("PNG",)) as picture:
        picture.thumbnail((MAX_PICTURE_WIDTH, MAX_PICTURE_WIDTH * 4))
        data = io.BytesIO()
        picture.save(data, format="PNG", optimize=True, pnginfo=copy_png_fields(picture))
    return Picture(title, caption, base64.b64encode(data.getvalue()).decode())
