"""Reader studies: a blinded set of real and synthetic images, a rating page, and the analysis (Korkinof 2021).

page.html        the rating page, opened as a file or served by `serve_study`; it does not contain the key
images/          0001.png and so on; real and synthetic files agree in size, bit depth and metadata
answers/         the readers' answers, one JSON file each
key.json         which images are synthetic; do not give it to the readers
"""

import hashlib
import itertools
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from ganatomy.config import Config
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.images.comparison import ComparisonRequest, gather_comparison
from ganatomy.evaluation.statistics import compute_auc_interval
from ganatomy.imaging.pictures import convert_to_uint8, save_png
from ganatomy.machine import progress
from ganatomy.machine.durable import new_folder, write_json, write_text
from ganatomy.modalities.facts import FactSource
from ganatomy.pyramid import Shape
from ganatomy.studies.reader_page import PAGE

KEY, ANSWERS = "key.json", "answers"
RATINGS = range(1, 7)  # 1 = surely synthetic, 6 = surely real; an even number, so that one has to choose
MAX_STUDY_IMAGES = 64  # images of each kind unless told: an hour of a reader's time
MAX_ANSWER_BYTES = 2**20  # bytes


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
    """Write a study of as many held-out real as synthetic images with the same facts; returns how many in all.

    Args:
        images, store, facts, shape, held_out: as for `evaluate`.
        n: images of each kind; None = as many as there are, at most 64.
        seed: of the order, and of samples that are drawn here.

    Raises:
        Refused: as `evaluate` does, or `out` is not empty.
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
            save_png(picture, folder / "images" / name)
            digest.update((folder / "images" / name).read_bytes())
            key[name] = synthetic
        name = digest.hexdigest()[:16]
        write_json(folder / KEY, {"format": 1, "study": name, "images": both.provenance, "synthetic": key})
        told = {"study": name, "files": list(key), "ratings": list(RATINGS)}
        write_text(folder / "page.html", PAGE.replace("__STUDY__", json.dumps(told)))
        (folder / ANSWERS).mkdir()
    return len(key)


# ----------------------------------------------------------------------------------------------------------------------
# Answers.


class ReaderResult(Config):
    """One reader's answers: area under the curve with its 95 % interval; 0.5 = cannot tell."""

    reader: str
    auc: float
    low: float
    high: float
    images: int

    @property
    def can_tell(self) -> bool:
        """Whether the interval leaves 0.5 out."""
        return self.low > 0.5 or self.high < 0.5


def read_answers(folder: Path, answers: Path) -> list[ReaderResult]:
    """The answers in a folder, scored by the key.

    Raises:
        Refused: no study, no answers, or answers that are not to this study or not complete.
    """
    key = _read_key(folder)
    files = sorted(answers.glob("*.json"))
    if not files:
        raise Refused(f"{answers} contains no answers (JSON files).")
    return [_score_answers(file, key) for file in files]


def _read_key(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / KEY).read_text()))
    except (OSError, ValueError) as error:
        raise Refused(
            f"{folder} is not a reader study ({KEY} cannot be read); make one with --reader-study."
        ) from error


def _score_answers(file: Path, key: dict[str, Any]) -> ReaderResult:
    try:
        answer = json.loads(file.read_text())
        ratings, name, of = dict(answer["ratings"]), str(answer["reader"]), answer["study"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{file} is not an answer to a reader study.") from error
    if of != key["study"]:
        raise Refused(f"{file} answers the study {of}; this one is {key['study']}.")
    missing = [image for image in key["synthetic"] if ratings.get(image) not in RATINGS]
    if missing:
        every = len(key["synthetic"])
        raise Refused(
            f"{file} rates {every - len(missing)} of {every} images; {missing[0]} is among those without a rating of 1"
            " to 6."
        )
    real = np.array([ratings[image] for image, synthetic in key["synthetic"].items() if not synthetic])
    fake = np.array([ratings[image] for image, synthetic in key["synthetic"].items() if synthetic])
    auc = float(np.mean((real[:, None] > fake) + 0.5 * (real[:, None] == fake)))
    low, high = compute_auc_interval(auc, len(real), len(fake))
    return ReaderResult(reader=name, auc=auc, low=low, high=high, images=len(key["synthetic"]))


def describe_readers(results: list[ReaderResult]) -> str:
    """A table, and how many can tell."""
    lines = [f"{'reader':20s} AUC    95 % interval"]
    lines += [f"{one.reader:20s} {one.auc:.3f}  {one.low:.3f} to {one.high:.3f}" for one in results]
    telling = sum(one.can_tell for one in results)
    return "\n".join([*lines, f"{telling} of {len(results)} readers have an interval that leaves 0.5 out."])


# ----------------------------------------------------------------------------------------------------------------------
# Showing the page on this machine.


def serve_study(folder: Path, port: int) -> None:
    """Show the page on the loopback address until interrupted; answers are kept in the study's folder.

    Raises:
        Refused: no study, or the port is taken.
    """
    server = make_server(folder, port)
    progress.say(f"The study is served at http://127.0.0.1:{server.server_address[1]}/; press Ctrl-C to stop.")
    try:
        server.serve_forever()
    finally:
        server.server_close()


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server that knows the page, the images and answers, and nothing else."""
    key = _read_key(folder)
    pages = {"/": ("text/html; charset=utf-8", folder / "page.html")}
    pages |= {f"/images/{name}": ("image/png", folder / "images" / name) for name in key["synthetic"]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self._of_this_machine() or self.path not in pages:
                return self._answer(HTTPStatus.NOT_FOUND)
            kind, file = pages[self.path]
            self._answer(HTTPStatus.OK, kind, file.read_bytes())

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if not self._of_this_machine() or self.path != "/answers" or not 0 < length <= MAX_ANSWER_BYTES:
                return self._answer(HTTPStatus.BAD_REQUEST)
            try:
                answer = json.loads(self.rfile.read(length))
                name = "".join(c for c in str(answer["reader"]) if c.isalnum() or c in "-_")[:40] or "reader"
            except (ValueError, KeyError, TypeError):
                return self._answer(HTTPStatus.BAD_REQUEST)
            (folder / ANSWERS).mkdir(exist_ok=True)
            tails = itertools.chain([""], (f"-{k}" for k in itertools.count(2)))  # nobody's answer is written over
            taken = (folder / ANSWERS / f"{name}{tail}.json" for tail in tails)
            write_json(next(path for path in taken if not path.exists()), answer)
            self._answer(HTTPStatus.NO_CONTENT)

        def _of_this_machine(self) -> bool:
            """A page elsewhere must not reach us under a name of its own."""
            return (self.headers.get("Host") or "").rpartition(":")[0] in ("127.0.0.1", "localhost")

        def _answer(self, status: HTTPStatus, kind: str = "text/plain", content: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            return None

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise Refused(f"--serve {port}: this port cannot be used ({error}); give another port.") from error
