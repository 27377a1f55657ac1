"""The pages of the studio and what they ask for; every answer is made by a function of the package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ganatomy.config import Config
from ganatomy.data.decisions import Decision
from ganatomy.errors import Refused
from ganatomy.library.arguments import parse_shape
from ganatomy.library.plan import ask_memory
from ganatomy.library.recipe import build_recipe
from ganatomy.machine.choices import Precision
from ganatomy.machine.templates import render_template
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.studio.answers import HANDLERS, read_body
from ganatomy.studio.curating import Curating
from ganatomy.studio.judging import PAGE_POLICY, describe_report
from ganatomy.studio.reading import Reading
from ganatomy.studio.shelves import Shelf
from ganatomy.studio.steering import Position, Steering
from ganatomy.studio.subject import Subject
from ganatomy.studio.watching import WatchedRun

STATIC = Path(__file__).parent / "static"
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
    Page("judge", "Judge", lambda subject: subject.report is not None or subject.reading is not None),
    Page("plan", "Plan", lambda subject: True),
)


def make_app(subject: Subject, reader_address: str = "") -> Starlette:
    """Make the application that shows a subject.

    Args:
        subject: what is shown.
        reader_address: the address of the page of a reader study, which readers get.
    """
    studio = _Studio(subject, reader_address)
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
            Route("/api/curate/{place:int}/nearest.png", studio.show_nearest),
            Route("/api/judge", studio.describe_judging),
            Route("/api/readers", studio.describe_readers),
            Route("/report.html", studio.show_report),
            Route("/api/plan", studio.list_plans),
            Route("/api/plan/ask", studio.plan, methods=["POST"]),
        ],
        exception_handlers=HANDLERS,
    )


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


class _Question(Config):
    recipe: str
    memory_gb: float = Field(gt=0, le=10_000)
    shape: str = ""
    batch: int | None = Field(None, ge=1, le=4096)
    precision: Precision | None = None
    recompute: bool = False
    micro_batches: int | None = Field(None, ge=1, le=4096)


class _Studio:
    """The answers of the studio."""

    def __init__(self, subject: Subject, reader_address: str) -> None:
        self.subject, self.reader_address = subject, reader_address
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

    def show_nearest(self, request: Request) -> Response:
        return Response(self._curating.draw_nearest(request.path_params["place"]), media_type="image/png")

    async def decide(self, request: Request) -> Response:
        wanted = await read_body(request, _Deciding)
        return JSONResponse(await run_in_threadpool(self._curating.decide, wanted.name, wanted.decision))

    # ------------------------------------------------------------------------------------------------------------------
    # Judging.

    def describe_judging(self, request: Request) -> Response:
        report = None if self.subject.report is None else describe_report(self.subject.report)
        return JSONResponse({"report": report, "readers": self.subject.reading is not None})

    @property
    def _reading(self) -> Reading:
        if self.subject.reading is None:
            raise Refused("No reader study was opened.")
        return self.subject.reading

    def describe_readers(self, request: Request) -> Response:
        return JSONResponse(self._reading.describe() | {"address": self.reader_address})

    def show_report(self, request: Request) -> Response:
        if self.subject.report is None or not self.subject.report.page.is_file():
            raise Refused("No report with a page was opened.")
        return FileResponse(self.subject.report.page, headers={"Content-Security-Policy": PAGE_POLICY})

    # ------------------------------------------------------------------------------------------------------------------
    # Planning.

    def list_plans(self, request: Request) -> Response:
        shapes = {name: list(get_recipe(name).shape) for name in RECIPES}
        return JSONResponse({"recipes": shapes, "precisions": list(get_args(Precision))})

    async def plan(self, request: Request) -> Response:
        wanted = await read_body(request, _Question)
        # In the thread of the maker, since a prediction runs a training on tensors without content.
        plan = await run_in_threadpool(self.subject.maker.do, lambda: _answer_plan(wanted), "plan")
        return JSONResponse(plan)


def _answer_plan(wanted: _Question) -> dict[str, Any]:
    recipe = build_recipe(wanted.recipe, shape=parse_shape(wanted.shape or None))
    question = ask_memory(
        recipe,
        f"{wanted.memory_gb}GB",
        batch=wanted.batch,
        precision=wanted.precision,
        recompute=wanted.recompute,
        micro_batches=wanted.micro_batches,
    )
    return question.predict() | {"text": question.describe()}
