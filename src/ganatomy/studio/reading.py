"""The page of a reader study: it serves images without their key, keeps every rating at once, and takes answers."""

import threading
from pathlib import Path
from typing import Any

from pydantic import Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ganatomy.config import Config
from ganatomy.errors import Refused
from ganatomy.machine.templates import render_template
from ganatomy.studies.reader_study import (
    ANSWERS,
    RATINGS,
    check_answer,
    keep_answer,
    keep_progress,
    list_progress,
    read_answers,
    read_key,
    read_progress,
)
from ganatomy.studio.answers import HANDLERS, read_body

STATIC = Path(__file__).parent / "static"


class Reading:
    """A reader study that is read: its folder and its key, which no reader gets.

    Args:
        folder: the folder of the study.

    Raises:
        Refused: it is no reader study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, read_key(folder)
        self._keeping = threading.Lock()

    def rate(self, reader: str, ratings: dict[str, Any]) -> dict[str, int]:
        """Keep ratings of a reader; returns all that the reader has given."""
        with self._keeping:
            return keep_progress(self.folder, reader, ratings, self.key)

    def finish(self, answer: dict[str, Any]) -> None:
        """Keep the complete answer of a reader.

        Raises:
            Refused: it is incomplete, or answers another study.
        """
        check_answer(answer, self.key, "This answer")
        with self._keeping:
            keep_answer(self.folder, answer)

    def describe(self) -> dict[str, Any]:
        """Describe how far the readers are, and the results of those who have finished."""
        answers = self.folder / ANSWERS
        results = read_answers(self.folder, answers) if any(answers.glob("*.json")) else []
        return {
            "images": len(self.key["synthetic"]),
            "progress": list_progress(self.folder),
            "results": [one.model_dump() | {"can_tell": one.can_tell} for one in results],
        }


class _Ratings(Config):
    reader: str = Field(min_length=1, max_length=200)
    ratings: dict[str, Any] = Field(default_factory=dict)


class _Answer(Config):
    study: str
    reader: str = Field(min_length=1, max_length=200)
    ratings: Any


def make_reader_app(reading: Reading) -> Starlette:
    """Make the application that readers see; it knows the images and the page, and nothing else of the study."""
    names = list(reading.key["synthetic"])
    study = {"study": reading.key["study"], "files": names, "ratings": list(RATINGS)}

    def show_page(request: Request) -> Response:
        return HTMLResponse(render_template("studio/read.html"))

    def describe(request: Request) -> Response:
        return JSONResponse(study)

    def show_image(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in reading.key["synthetic"]:
            raise Refused("The study has no such image.")
        return FileResponse(reading.folder / "images" / name, media_type="image/png")

    async def rate(request: Request) -> Response:
        given = await read_body(request, _Ratings)
        return JSONResponse({"ratings": await run_in_threadpool(reading.rate, given.reader, given.ratings)})

    async def begin(request: Request) -> Response:
        given = await read_body(request, _Ratings)
        return JSONResponse({"ratings": read_progress(reading.folder, given.reader, reading.key)})

    async def finish(request: Request) -> Response:
        given = await read_body(request, _Answer)
        await run_in_threadpool(reading.finish, given.model_dump())
        return JSONResponse({"told": "Thank you. Your answers are saved."})

    routes = [
        Route("/", show_page),
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/study", describe),
        Route("/images/{name}", show_image),
        Route("/begin", begin, methods=["POST"]),
        Route("/rate", rate, methods=["POST"]),
        Route("/answers", finish, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers=HANDLERS)
