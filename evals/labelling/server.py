"""A page on this machine alone: one process, loopback, and nobody in without the token.

Whatever else runs in a browser on this machine can send requests to a port of it. So each request
has to name the token, which stands in the address; its Host has to be ours, which ends DNS
rebinding; what changes anything has to be JSON from a page of ours. No file is ever served.
"""

import hmac
import json
import secrets
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Thread
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from ...deps.errors import AssayError, InputError
from .session import Session

__all__ = ("HOST", "MAX_BODY", "Site", "serving")

HOST = "127.0.0.1"
MAX_BODY = 64_000
"""Bytes; a note is a tenth of that."""

PATIENCE = 10.0
"""Seconds that a connection may say nothing: browsers open some that they never use."""

Render = Callable[[str], str]
"""Makes the page, given the nonce that its script and style are allowed by."""


class Ask(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rater: str
    id: str = ""
    value: float | None = None
    note: str = ""


class Refused(Exception):
    """A request that is not served, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Site(ThreadingHTTPServer):
    """Serves one session until the page says that it is done.

    Args:
        session: What the page works on.
        render: Makes the page.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, session: Session, render: Render) -> None:
        super().__init__((HOST, 0), _Handler)
        self.session = session
        self.render = render
        self.token = secrets.token_urlsafe(24)
        self._done = Event()

    def server_bind(self) -> None:
        """Bind without asking the network what this machine is called, as HTTPServer would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def url(self, rater: str = "") -> str:
        """Return the page's address, with a rater's name in it if it is known."""
        named = f"?rater={quote(rater, safe='')}" if rater else ""
        return f"{self.origin}/{self.token}/{named}"

    def stop(self) -> None:
        """Let `wait` return: the page says that it is done."""
        self._done.set()

    def wait(self) -> None:
        """Wait until the page says that it is done."""
        while not self._done.wait(PATIENCE):  # in turns: Windows hears no Ctrl-C in between
            pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell what broke; that a browser hung up is nothing of the kind."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(session: Session, render: Render) -> Generator[Site]:
    """Serve in a thread, for the time of a block."""
    site = Site(session, render)
    thread = Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    default_request_version = "HTTP/1.0"  # answers always have a head
    server_version = "assay"
    sys_version = ""

    @property
    def site(self) -> Site:
        return cast(Site, self.server)

    def parse_request(self) -> bool:
        """Read the request's head; refuse here, before any method, who is not let in."""
        if not super().parse_request():
            return False
        try:
            self._let_in()
        except Refused as e:
            self._say(e.status, {"error": e.why})
            return False
        return True

    def do_GET(self) -> None:
        """Show the page, or the state of a rater's work."""
        self._answer({"": self._page, "item": self._item})

    def do_POST(self) -> None:
        """Do what the page asks, and tell the state after it."""
        session = self.site.session

        def label(ask: Ask) -> None:
            session.label(ask.rater, ask.id, ask.value, ask.note)

        self._answer(
            {
                "label": lambda: self._do(label),
                "undo": lambda: self._do(lambda ask: session.undo(ask.rater)),
                "later": lambda: self._do(lambda ask: session.put_off(ask.rater, ask.id)),
                "done": self._done,
            }
        )

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what is wrong with a request without repeating any of it."""
        self._say(HTTPStatus(code), {"error": HTTPStatus(code).phrase})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the address of each request holds the token."""

    # -- who is let in

    def _let_in(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if hosts != [f"{HOST}:{self.site.server_port}"]:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this host is not served here")
        token, slash, _ = self._path.partition("/")
        if not hmac.compare_digest(token.encode(), self.site.token.encode()) or not slash:
            raise Refused(
                HTTPStatus.FORBIDDEN, "open the address that assay label printed: it has a token"
            )
        if self.command not in ("GET", "POST"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and POST are served")
        if self.command == "POST":
            self._same_origin()

    def _same_origin(self) -> None:
        if self.headers.get_all("Origin", []) != [self.site.origin]:
            raise Refused(HTTPStatus.FORBIDDEN, "only the page itself may change anything")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")

    @property
    def _path(self) -> str:
        """The path without its first slash; what is no path is none of ours."""
        try:
            found = urlsplit(self.path)
        except ValueError:
            return ""
        return "" if found.scheme or found.netloc else found.path.removeprefix("/")

    # -- what it is told

    def _answer(self, actions: Mapping[str, Callable[[], None]]) -> None:
        action = actions.get(self._path.partition("/")[2])
        try:
            if action is None:
                raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing to {self.command} here")
            action()
        except Refused as e:
            self._say(e.status, {"error": e.why})
        except InputError as e:
            self._say(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(e)})
        except AssayError as e:  # the store cannot be written
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(e)})

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = self.site.render(nonce)
        self._send(HTTPStatus.OK, "text/html", text, {"Content-Security-Policy": policy})

    def _item(self) -> None:
        (rater,) = parse_qs(urlsplit(self.path).query).get("rater", [""])[:1]
        self._say(HTTPStatus.OK, self.site.session.state(rater))

    def _do(self, action: Callable[[Ask], None]) -> None:
        ask = self._asked()
        action(ask)
        self._say(HTTPStatus.OK, self.site.session.state(ask.rater))

    def _done(self) -> None:
        self._asked()
        self._say(HTTPStatus.OK, {})
        self.site.stop()  # last: the process may end at once

    def _asked(self) -> Ask:
        try:
            return Ask.model_validate_json(self._body())
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"]))
            why = f"not what the page sends: {where}: {first['msg']}"
            raise Refused(HTTPStatus.BAD_REQUEST, why) from e

    def _body(self) -> bytes:
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or not lengths[0].isascii() or not lengths[0].isdigit():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say the length of the body, in bytes")
        if "Transfer-Encoding" in self.headers:
            raise Refused(HTTPStatus.BAD_REQUEST, "send the body whole, not in chunks")
        if (length := int(lengths[0])) > MAX_BODY:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY} bytes are taken"
            )
        return self.rfile.read(length)

    # -- what it says

    def _say(self, status: HTTPStatus, found: Mapping[str, Any]) -> None:
        text = json.dumps(found, ensure_ascii=True, allow_nan=False)
        self._send(status, "application/json", text, {})

    def _send(self, status: HTTPStatus, kind: str, text: str, headers: Mapping[str, str]) -> None:
        body = text.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, POST")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
