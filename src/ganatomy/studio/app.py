"""The pages of the studio and what they ask for; every answer is made by a function of the package."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ganatomy.config import Config, explain_validation_error
from ganatomy.data.decisions import Decision
from ganatomy.errors import Ended, Refused
from ganatomy.machine.templates import render_template
from ganatomy.studio.curating import Curating
from ganatomy.studio.maker import ReplacedError
from ganatomy.studio.shelves import Shelf
from ganatomy.studio.steering import Position, Steering
from ganatomy.studio.subject import Subject
from ganatomy.studio.watching import WatchedRun

STATIC = Path(__file__).parent / "static"
Body = TypeVar("Body", bound=Config)
MAX_BODY = 2**20  # bytes of a request
MAX_LIKED = 1000  # samples of a list


class Page(NamedTuple):
    """A page: the last part of its address, its title, and whether a subject has something to show on it."""

    name: str
    title: str
    has: Callable[[Subject], bool]


PAGES = (
    Page("watch", "Watch", lambda subject: bool(subject.runs)),
    Page("look", "Look", lambda subject: bool(subject.shelves)),
    Page("steer", "Steer", lambda subject: subject.steering is not None),
    Page("curate", "Curate", lambda subject: subject.curating is not None),
)


def make_app(subject: Subject) -> Starlette:
    """Make the application that shows a subject."""
    studio = _Studio(subject)
    pages = [Route(f"/{page.name}", studio.show_page) for page in studio.pages]
    return Starlette(
        routes=[
            Route("/", studio.show_first),
            *pages,
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/api/runs", studio.list_runs),
            Route("/api/runs/{run:int}/log", studio.read_log),
            Route("/api/runs/{run:int}/grids/{images:int}.png", studio.show_grid),
            Route("/api/runs/{run:int}/stop", studio.stop_run, methods=["POST"]),
            Route("/api/shelves", studio.list_shelves),
            Route("/api/shelves/{shelf:int}/{place:int}", studio.show_image),
            Route("/api/steer", studio.describe_steering),
            Route("/api/steer/directions", studio.learn_directions, methods=["POST"]),
            Route("/api/steer/draw", studio.draw, methods=["POST"]),
            Route("/api/steer/write", studio.write_liked, methods=["POST"]),
            Route("/api/curate", studio.describe_curating),
            Route("/api/curate/measure", studio.measure_samples, methods=["POST"]),
            Route("/api/curate/decide", studio.decide, methods=["POST"]),
            Route("/api/curate/{place:int}.png", studio.show_sample),
        ],
        exception_handlers={Ended: _tell_ended, HTTPException: _tell_missing},
    )


def _tell_ended(request: Request, error: Exception) -> Response:
    """Answer with the sentence of a refusal."""
    status = 409 if isinstance(error, ReplacedError) else 400
    return JSONResponse({"problem": str(error)}, status)


def _tell_missing(request: Request, error: Exception) -> Response:
    """Answer that there is nothing at an address."""
    status = getattr(error, "status_code", 404)
    return JSONResponse({"problem": "There is nothing at this address of the studio."}, status)


async def read_body(request: Request, model: type[Body]) -> Body:
    """Read the body of a request.

    Raises:
        Refused: it is too long, or something else than the page sends.
    """
    text = b""
    async for part in request.stream():
        text += part
        if len(text) > MAX_BODY:
            raise Refused(f"The request has more than {MAX_BODY} bytes, and is refused.")
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        raise Refused(f"The request is not what the page sends: {explain_validation_error(error, model)}.") from error
    except ValueError as error:
        raise Refused("The request is not JSON.") from error


class _Drawing(Config):
    position: Position
    draft: bool = False


class _Liked(Config):
    positions: list[Position] = Field(min_length=1, max_length=MAX_LIKED)
    name: str
    to: str


class _Deciding(Config):
    name: str
    decision: Decision | None


class _Studio:
    """The answers of the studio."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.pages = [page for page in PAGES if page.has(subject)]

    # ------------------------------------------------------------------------------------------------------------------
    # Pages.

    def show_first(self, request: Request) -> Response:
        return RedirectResponse(self.pages[0].name)

    def show_page(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        page = next(one for one in self.pages if one.name == name)
        values = {"page": page, "pages": self.pages, "names": self.subject.names, "notes": self.subject.notes}
        return HTMLResponse(render_template(f"studio/{page.name}.html", **values))

    # ------------------------------------------------------------------------------------------------------------------
    # Runs.

    def _find_run(self, request: Request) -> WatchedRun:
        number = request.path_params["run"]
        if number >= len(self.subject.runs):
            raise Refused(f"There are {len(self.subject.runs)} runs, and no run number {number}.")
        return self.subject.runs[number]

    def list_runs(self, request: Request) -> Response:
        return JSONResponse([run.describe() for run in self.subject.runs])

    def read_log(self, request: Request) -> Response:
        start = request.query_params.get("start", "0")
        if not start.isdigit():
            raise Refused(f"start={start}: give a number of bytes.")
        return JSONResponse(self._find_run(request).read_log(int(start))._asdict())

    def show_grid(self, request: Request) -> Response:
        return FileResponse(self._find_run(request).find_grid(request.path_params["images"]), media_type="image/png")

    def stop_run(self, request: Request) -> Response:
        return JSONResponse({"told": self._find_run(request).stop()})

    # ------------------------------------------------------------------------------------------------------------------
    # Images.

    def _find_shelf(self, request: Request) -> Shelf:
        number = request.path_params["shelf"]
        if number >= len(self.subject.shelves):
            raise Refused(f"There are {len(self.subject.shelves)} groups of images, and no number {number}.")
        return self.subject.shelves[number]

    def list_shelves(self, request: Request) -> Response:
        return JSONResponse([shelf.describe() for shelf in self.subject.shelves])

    def show_image(self, request: Request) -> Response:
        image = self._find_shelf(request).encode(request.path_params["place"])
        return Response(image, media_type="application/octet-stream")

    # ------------------------------------------------------------------------------------------------------------------
    # Steering.

    @property
    def _steering(self) -> Steering:
        if self.subject.steering is None:
            raise Refused("Nothing that was opened makes images; open a run, a snapshot or a bundle.")
        return self.subject.steering

    def describe_steering(self, request: Request) -> Response:
        return JSONResponse(self._steering.describe())

    def learn_directions(self, request: Request) -> Response:
        return JSONResponse(self._steering.learn())

    async def draw(self, request: Request) -> Response:
        wanted = await read_body(request, _Drawing)
        image = await run_in_threadpool(self._steering.draw, wanted.position, wanted.draft)
        return Response(image, media_type="application/octet-stream")

    async def write_liked(self, request: Request) -> Response:
        wanted = await read_body(request, _Liked)
        folder = self.subject.find_output(wanted.name)
        images = await run_in_threadpool(self._steering.write_samples, wanted.positions, folder, wanted.to)
        return JSONResponse({"images": images, "folder": str(folder)})

    # ------------------------------------------------------------------------------------------------------------------
    # Curating.

    @property
    def _curating(self) -> Curating:
        if self.subject.curating is None:
            raise Refused("No folder of samples was opened, so that there is nothing to curate.")
        return self.subject.curating

    def describe_curating(self, request: Request) -> Response:
        return JSONResponse(self._curating.describe())

    def measure_samples(self, request: Request) -> Response:
        return JSONResponse(self._curating.measure(self.subject.store))

    def show_sample(self, request: Request) -> Response:
        return Response(self._curating.draw(request.path_params["place"]), media_type="image/png")

    async def decide(self, request: Request) -> Response:
        wanted = await read_body(request, _Deciding)
        return JSONResponse(await run_in_threadpool(self._curating.decide, wanted.name, wanted.decision))
