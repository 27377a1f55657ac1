"""What every request passes before it is answered: host, origin and token, and the headers of every answer."""

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
EVERY_ADDRESS = ("0.0.0.0", "::")
SAFE_METHODS = ("GET", "HEAD")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Address:
    """The hosts by which the studio may be called.

    A page of another site can make a browser call this machine under that site's name (DNS rebinding), so that a name
    that is not known here is refused. An address in figures cannot be bound to another machine.

    Args:
        host: the address that the studio listens on.
        port: its port.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def accepts(self, host: str) -> bool:
        """Whether a request may name this host, given with its port."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        if name in LOOPBACK_NAMES or name == self.host:
            return True
        return self.host in EVERY_ADDRESS and _is_number(name.strip("[]"))


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """Lets through the requests that come from the studio's own pages, and removes the token from their path.

    Args:
        apps: what answers, by token: the first part of the path.
        address: the hosts by which it may be called.
    """

    def __init__(self, apps: Iterable[tuple[str, ASGIApp]], address: Address) -> None:
        self._apps, self._address = tuple(apps), address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # there are no sockets, and nothing to begin or to end
            return
        refusal = self._find_refusal(scope)
        if refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0], HEADERS)(scope, receive, send)
            return
        token, _, rest = scope["path"].removeprefix("/").partition("/")
        app = next(app for known, app in self._apps if hmac.compare_digest(known.encode(), token.encode()))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                own.update({name: value for name, value in HEADERS.items() if name not in own})
            await send(message)

        inside = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}
        await app(inside, receive, send_with_headers)

    def _find_refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the sentence with which a request is refused; None if it is let through."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._address.accepts(host):
            return 403, "This host is not the studio's; open the address that ganatomy studio has printed.\n"
        if origin is not None and origin != f"http://{host}":
            return 403, "This request comes from another page than the studio's, and is refused.\n"
        token = scope["path"].removeprefix("/").partition("/")[0]
        if not any(hmac.compare_digest(known.encode(), token.encode()) for known, _ in self._apps):
            return 404, "The address lacks the studio's token; open the address that ganatomy studio has printed.\n"
        return None
