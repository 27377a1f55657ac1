"""Reader studies: a blinded set of real and synthetic images, a rating page, and the analysis (Korkinof 2021).

page.html        the rating page, opened as a file; it does not contain the key; `ganatomy.studio` has its own page
images/          0001.png and so on; real and synthetic files agree in size, bit depth and metadata
answers/         the readers' answers, one JSON file each
progress/        ratings of readers who have not finished, one JSON file each
key.json         which images are synthetic; do not give it to the readers
"""

import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy.config import Config
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.images.comparison import ComparisonRequest, gather_comparison
from ganatomy.evaluation.statistics import compute_auc_interval
from ganatomy.imaging.marking import mark_blinded
from ganatomy.imaging.pictures import convert_to_uint8, save_png
from ganatomy.machine import progress
from ganatomy.machine.durable import new_folder, read_json, write_json, write_text
from ganatomy.machine.templates import render_template
from ganatomy.modalities.facts import FactSource
from ganatomy.pyramid import Shape

KEY, ANSWERS, PROGRESS = "key.json", "answers", "progress"
MAX_READER_CHARACTERS = 40  # of a reader's name in a file name
RATINGS = range(1, 7)  # 1 = surely synthetic, 6 = surely real; an even number of ratings forces a choice
MAX_STUDY_IMAGES = 64  # default number of images of each kind, about an hour for a reader


def make_study(
    images: Path | str,
    out: Path | str,
    store: Store | Path | str | None = None,
    n: int | None = None,
    seed: int = 2000,
    facts: FactSource | None = None,
    shape: Shape | None = None,
    held_out: Path | None = None,
) -> int:
    """Write a study with equally many held-out real and synthetic images with the same facts; returns their number.

    Args:
        images, store, facts, shape, held_out: as for `evaluate`.
        n: number of images of each kind; None = as many as there are, at most 64.
        seed: seed of the order, and of samples that are drawn for the study.

    Raises:
        Refused: as for `evaluate`, or `out` is not empty.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise Refused(f"{out} is not empty; give a new folder for the study.")
    both = gather_comparison(
        Path(images), store, ComparisonRequest(n or MAX_STUDY_IMAGES, seed, facts or FactSource(), shape, held_out)
    )
    kinds = [(False, i) for i in range(len(both.test))] + [(True, i) for i in range(len(both.test))]
    order = np.random.default_rng(seed).permutation(len(kinds))
    key: dict[str, bool] = {}
    with new_folder(out) as folder:
        (folder / "images").mkdir()
        digest = hashlib.sha256()
        for number, place in enumerate(order, 1):
            synthetic, i = kinds[place]
            picture = convert_to_uint8(
                both.modality.render_image(both.make_display_image(both.matched_fakes if synthetic else both.test, i))
            )
            name = f"{number:04d}.png"
            save_png(picture, folder / "images" / name, mark_blinded(both.shows_patients))
            digest.update((folder / "images" / name).read_bytes())
            key[name] = synthetic
        name = digest.hexdigest()[:16]
        write_json(folder / KEY, {"format": 1, "study": name, "images": both.provenance, "synthetic": key})
        told = {"study": name, "files": list(key), "ratings": list(RATINGS)}
        page = render_template("reader_study.html", shows_patients=both.shows_patients, study=told)
        write_text(folder / "page.html", page)
        (folder / ANSWERS).mkdir()
    return len(key)


# ----------------------------------------------------------------------------------------------------------------------
# Answers.


class ReaderResult(Config):
    """One reader's result: area under the ROC curve with its 95 % interval; 0.5 = cannot tell the images apart."""

    reader: str
    auc: float
    low: float
    high: float
    images: int

    @property
    def can_tell(self) -> bool:
        """Whether the interval excludes 0.5."""
        return self.low > 0.5 or self.high < 0.5


def read_answers(folder: Path, answers: Path) -> list[ReaderResult]:
    """Read the answers in a folder and score them by the key. Incomplete answers are named and left out.

    Raises:
        Refused: the folder is not a study, or there is no complete answer to it.
    """
    key = read_key(folder)
    files = sorted(answers.glob("*.json"))
    if not files:
        raise Refused(f"{answers} contains no answers (JSON files).")
    found: list[ReaderResult] = []
    problems: list[Refused] = []
    for file in files:
        try:
            found.append(_score_answers(file, key))
        except Refused as problem:
            problems.append(problem)
    if not found:
        raise problems[0]
    for one in problems:
        progress.say(f"Left out: {one}")
    return found


def read_key(folder: Path) -> dict[str, Any]:
    """Read which images of a study are synthetic, and the study's name.

    Raises:
        Refused: the folder is not a study.
    """
    try:
        key = read_json(folder / KEY)
        if not isinstance(key["synthetic"], dict) or not isinstance(key["study"], str):
            raise KeyError("synthetic")
    except (Refused, KeyError) as error:
        raise Refused(
            f"{folder} is not a reader study ({KEY} cannot be read); make one with --reader-study."
        ) from error
    return key


def check_answer(answer: Any, key: dict[str, Any], what: str) -> tuple[str, dict[str, int]]:
    """Check an answer to this study; returns the reader and the ratings.

    Args:
        answer: the parsed JSON of the answer.
        key: the key of the study.
        what: name of the answer for messages, such as its file.

    Raises:
        Refused: it is not an answer, belongs to another study, or is incomplete.
    """
    try:
        ratings, name, of = dict(answer["ratings"]), str(answer["reader"]), answer["study"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{what} is not an answer to a reader study.") from error
    if of != key["study"]:
        raise Refused(f"{what} answers the study {of}; this one is {key['study']}.")
    missing = [image for image in key["synthetic"] if not _is_rating(ratings.get(image))]
    if missing:
        every = len(key["synthetic"])
        raise Refused(
            f"{what} rates {every - len(missing)} of {every} images; {missing[0]} is among those without a rating of 1"
            " to 6."
        )
    return name, ratings


def name_reader_file(reader: str) -> str:
    """Make the name of a reader's file, without its suffix, from the letters and figures of the reader's name."""
    return "".join(c for c in reader if c.isalnum() or c in "-_")[:MAX_READER_CHARACTERS] or "reader"


def keep_answer(folder: Path, answer: dict[str, Any]) -> Path:
    """Write a complete answer as a new file beside the existing ones; to be called by one thread at a time."""
    name = name_reader_file(str(answer["reader"]))
    (folder / ANSWERS).mkdir(exist_ok=True)
    tails = itertools.chain([""], (f"-{k}" for k in itertools.count(2)))
    path = next(path for tail in tails if not (path := folder / ANSWERS / f"{name}{tail}.json").exists())
    write_json(path, answer)
    return path


def keep_progress(folder: Path, reader: str, ratings: Mapping[str, Any], key: Mapping[str, Any]) -> dict[str, int]:
    """Keep the ratings of a reader who has not finished; returns all of them, those of earlier calls included.

    Entries that are no rating of an image of the study are left out.
    """
    known = {name: value for name, value in ratings.items() if name in key["synthetic"] and _is_rating(value)}
    whole = read_progress(folder, reader, key) | known
    (folder / PROGRESS).mkdir(exist_ok=True)
    told = {"study": key["study"], "reader": reader, "ratings": whole}
    write_json(folder / PROGRESS / f"{name_reader_file(reader)}.json", told)
    return whole


def read_progress(folder: Path, reader: str, key: Mapping[str, Any]) -> dict[str, int]:
    """Read the ratings that a reader has given so far; empty for a reader who has not begun."""
    file = folder / PROGRESS / f"{name_reader_file(reader)}.json"
    if not file.exists():
        return {}
    kept = read_json(file)
    return dict(kept["ratings"]) if kept.get("study") == key["study"] else {}


def list_progress(folder: Path) -> dict[str, int]:
    """List how many images each reader has rated who has begun."""
    files = sorted((folder / PROGRESS).glob("*.json"))
    return {str(one["reader"]): len(one["ratings"]) for one in map(read_json, files)}


def _is_rating(value: Any) -> bool:
    return isinstance(value, int) and value in RATINGS


def _score_answers(file: Path, key: dict[str, Any]) -> ReaderResult:
    try:
        answer = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"{file} is not an answer to a reader study.") from error
    name, ratings = check_answer(answer, key, str(file))
    real = np.array([ratings[image] for image, synthetic in key["synthetic"].items() if not synthetic])
    fake = np.array([ratings[image] for image, synthetic in key["synthetic"].items() if synthetic])
    auc = float(np.mean((real[:, None] > fake) + 0.5 * (real[:, None] == fake)))
    low, high = compute_auc_interval(auc, len(real), len(fake))
    return ReaderResult(reader=name, auc=auc, low=low, high=high, images=len(key["synthetic"]))


def describe_readers(results: list[ReaderResult]) -> str:
    """Format a table of the results, with the number of readers whose interval excludes 0.5."""
    lines = [f"{'reader':20s} AUC    95 % interval"]
    lines += [f"{one.reader:20s} {one.auc:.3f}  {one.low:.3f} to {one.high:.3f}" for one in results]
    telling = sum(one.can_tell for one in results)
    return "\n".join([*lines, f"{telling} of {len(results)} readers have an interval that leaves 0.5 out."])
