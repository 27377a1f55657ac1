"""The local server of a reader study, which serves only the page and the images and accepts only answers."""

import itertools
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.machine.durable import write_json
from ganatomy.studies.reader_study import ANSWERS, check_answer, read_key

MAX_ANSWER_BYTES = 2**20  # bytes
MAX_READER_CHARACTERS = 40  # of a reader's name in a file name
REQUEST_SECONDS = 30.0  # within which a request must arrive
WAITING_REQUESTS = 128  # pending connections, for many readers who finish at the same time


class StudyServer(ThreadingHTTPServer):
    """Handles each request in a thread and writes answers one after another without overwriting any."""

    request_queue_size = WAITING_REQUESTS
    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        self.key = read_key(folder)
        self.folder = folder
        self.pages = {"/": ("text/html; charset=utf-8", folder / "page.html")}
        self.pages |= {f"/images/{name}": ("image/png", folder / "images" / name) for name in self.key["synthetic"]}
        self._keeping = threading.Lock()
        super().__init__(("127.0.0.1", port), StudyHandler)
        names = [f"{host}:{self.server_address[1]}" for host in ("127.0.0.1", "localhost")]
        self.hosts, self.origins = set(names), {f"http://{name}" for name in names}

    def keep_answer(self, answer: dict[str, Any]) -> None:
        """Write an answer as a new file beside the existing ones."""
        name = "".join(c for c in str(answer["reader"]) if c.isalnum() or c in "-_")[:MAX_READER_CHARACTERS] or "reader"
        with self._keeping:
            (self.folder / ANSWERS).mkdir(exist_ok=True)
            tails = itertools.chain([""], (f"-{k}" for k in itertools.count(2)))
            taken = (self.folder / ANSWERS / f"{name}{tail}.json" for tail in tails)
            write_json(next(path for path in taken if not path.exists()), answer)


class StudyHandler(BaseHTTPRequestHandler):
    """Handles one request."""

    server: StudyServer
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.hosts or self.path not in self.server.pages:
            return self._send(HTTPStatus.NOT_FOUND)
        kind, file = self.server.pages[self.path]
        return self._send(HTTPStatus.OK, kind, file.read_bytes())

    def do_POST(self) -> None:
        """Accept a complete answer to this study that comes from its own page."""
        origin = self.headers.get("Origin")  # every browser sends it; other programs need not
        if self.headers.get("Host") not in self.server.hosts or origin not in (None, *self.server.origins):
            return self._send(HTTPStatus.FORBIDDEN)
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/answers" or not 0 < length <= MAX_ANSWER_BYTES:
                return self._send(HTTPStatus.BAD_REQUEST)
            answer = json.loads(self.rfile.read(length))
            check_answer(answer, self.server.key, "This answer")
            self.server.keep_answer(answer)
        except Refused as refusal:
            return self._send(HTTPStatus.BAD_REQUEST, content=str(refusal).encode())
        except (ValueError, RecursionError):
            return self._send(HTTPStatus.BAD_REQUEST)
        return self._send(HTTPStatus.NO_CONTENT)

    def _send(self, status: HTTPStatus, kind: str = "text/plain; charset=utf-8", content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing, since it is private who reads and when."""


def make_server(folder: Path, port: int) -> StudyServer:
    """Make a server on the loopback address; port 0 = any free port.

    Raises:
        Refused: the folder is not a study, or the port is in use.
    """
    try:
        return StudyServer(folder, port)
    except (OSError, OverflowError) as error:
        raise Refused(f"--serve {port}: this port cannot be used ({error}); give another port.") from error


def serve_study(folder: Path, port: int) -> None:
    """Serve the page until interrupted; answers are kept in the study's folder.

    Raises:
        Refused: the folder is not a study, or the port is in use.
    """
    server = make_server(folder, port)
    progress.say(f"The study is served at http://127.0.0.1:{server.server_address[1]}/; press Ctrl-C to stop.")
    serve: Callable[[], None] = server.serve_forever
    try:
        serve()
    finally:
        server.server_close()
