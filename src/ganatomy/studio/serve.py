"""Serving of the studio: a socket on this machine, a token in the address, and the browser that is opened."""

import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.studio.app import make_app
from ganatomy.studio.guard import Address, Guard
from ganatomy.studio.reading import Reading, make_reader_app
from ganatomy.studio.subject import Subject, open_subject

LOOPBACK = "127.0.0.1"
LAST_PORT = 65535
TOKEN_BYTES = 16
WAITING_REQUESTS = 128  # pending connections


class Opened(NamedTuple):
    """A studio that can be served: its socket, what answers, the address to open, and that of readers of a study."""

    listener: socket.socket
    guard: Guard
    address: str
    readers: str = ""


def open_studio(subject: Subject, host: str = LOOPBACK, port: int = 0) -> Opened:
    """Listen on an address, with all pages of a subject; the readers of a study get an address of their own.

    Args:
        subject: what is shown.
        host: the address to listen on.
        port: the port; 0 = any that is free.

    Raises:
        Refused: the port is in use, or the host is no address of this machine.
    """
    listener, where, root = _listen(host, port)
    token, reader_token = (secrets.token_urlsafe(TOKEN_BYTES) for _ in range(2))
    readers = f"{root}/{reader_token}/"
    apps: list[tuple[str, ASGIApp]] = [(token, make_app(subject, readers))]
    if subject.reading is not None:
        apps.append((reader_token, make_reader_app(subject.reading)))
    return Opened(listener, Guard(apps, where), f"{root}/{token}/", readers)


def open_study(folder: Path, port: int = 0) -> Opened:
    """Listen on the loopback address, with the page of a reader study alone.

    Raises:
        Refused: the folder is not a study, or the port is in use.
    """
    reading = Reading(folder)
    listener, where, root = _listen(LOOPBACK, port)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Opened(listener, Guard([(token, make_reader_app(reading))], where), f"{root}/{token}/")


def _listen(host: str, port: int) -> tuple[socket.socket, Address, str]:
    if not 0 <= port <= LAST_PORT:
        raise Refused(f"--port {port}: give a port from 1 to {LAST_PORT}, or none for any that is free.")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=WAITING_REQUESTS)
    except OSError as error:
        raise Refused(
            f"--port {port}: {host} cannot be used there ({error}); another studio may have it: give another --port,"
            " or none."
        ) from error
    where = Address(host, int(listener.getsockname()[1]))
    name = f"[{host}]" if ":" in host else host
    return listener, where, f"http://{name}:{where.port}"


def serve_study(folder: Path, port: int) -> None:
    """Serve the page of a reader study until interrupted; answers are kept in the study's folder.

    Raises:
        Refused: the folder is not a study, or the port is in use.
    """
    opened = open_study(folder, port)
    progress.say(f"The study is served at {opened.address} ; press Ctrl-C to stop.")
    _serve(opened)


def _serve(opened: Opened) -> None:
    server = uvicorn.Server(uvicorn.Config(opened.guard, log_level="error", access_log=False, lifespan="off"))
    try:
        server.run(sockets=[opened.listener])
    finally:
        opened.listener.close()


def serve_studio(
    paths: Sequence[Path],
    out: Path = Path("studio"),
    host: str = LOOPBACK,
    port: int = 0,
    show: Callable[[str], object] | None = webbrowser.open,
) -> None:
    """Show what is at some paths in the browser, until interrupted.

    Args:
        paths: runs, folders of runs, snapshots, bundles, stores, folders of samples, reports.
        out: the folder below which the studio writes.
        host: the address to listen on.
        port: the port; 0 = any that is free.
        show: opens an address; None = it is only printed.

    Raises:
        Refused: a path cannot be opened, or the port is in use.
    """
    opened = open_studio(open_subject(paths, out), host, port)
    if not Address(host, 0).is_loopback:
        progress.say(
            f"Warning: --host {host} shows the studio to other machines without encryption; whoever has the address"
            " sees the images and can use this machine to make others."
        )
    progress.say(f"The studio is at {opened.address} ; press Ctrl-C to stop.")
    if show is not None:
        show(opened.address)
    _serve(opened)
