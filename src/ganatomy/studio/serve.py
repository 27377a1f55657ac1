"""Serving of the studio: a socket on this machine, a token in the address, and the browser that is opened."""

import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import uvicorn

from ganatomy.errors import Refused
from ganatomy.machine import progress
from ganatomy.studio.app import make_app
from ganatomy.studio.guard import Address, Guard
from ganatomy.studio.subject import Subject, open_subject

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 16
WAITING_REQUESTS = 128  # pending connections


class Opened(NamedTuple):
    """A studio that can be served: its socket, what answers, and the address to open."""

    listener: socket.socket
    guard: Guard
    address: str


def open_studio(subject: Subject, host: str = LOOPBACK, port: int = 0) -> Opened:
    """Listen on an address; port 0 = any free port.

    Raises:
        Refused: the port is in use, or the host is no address of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=WAITING_REQUESTS)
    except (OSError, OverflowError) as error:
        raise Refused(
            f"--port {port}: {host} cannot be used there ({error}); another studio may have it: give another --port,"
            " or none."
        ) from error
    where = Address(host, int(listener.getsockname()[1]))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    name = f"[{host}]" if ":" in host else host
    return Opened(listener, Guard([(token, make_app(subject))], where), f"http://{name}:{where.port}/{token}/")


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
    server = uvicorn.Server(uvicorn.Config(opened.guard, log_level="error", access_log=False, lifespan="off"))
    try:
        server.run(sockets=[opened.listener])
    finally:
        opened.listener.close()
