"""The page's server: whoever has no token, or comes from elsewhere, gets nothing and changes nothing."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.deps.errors import ConfigError
from assay.evals.labelling.server import MAX_BODY, Site
from assay.evals.labelling.session import Session
from assay.evals.store.database import RunStore

from .labelling import judged_run, served

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with (
        closing(RunStore(tmp_path / "runs.db")) as store,
        served(store, judged_run(store, 3)) as opened,
    ):
        yield opened


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def send(site: Site, raw: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", site.server_port), timeout=10) as to:
        to.sendall(raw)
        found = b""
        while part := to.recv(65536):
            found += part
    head, _, body = found.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body)


def ask(
    site: Site,
    path: str = "",
    *,
    method: str = "GET",
    token: str | None = None,
    body: Any = None,
    **headers: str | None,
) -> Answer:
    """Send what the page would; headers by name, `_` for `-`, None for none."""
    content = (
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    sent: dict[str, str | None] = {"Host": f"127.0.0.1:{site.server_port}"}
    if method == "POST":
        sent |= {"Origin": site.origin, "Content-Type": "application/json"}
        sent["Content-Length"] = str(len(content))
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in sent.items() if value is not None]
    first = f"{method} /{site.token if token is None else token}/{path} HTTP/1.1"
    return send(site, "\r\n".join([first, *lines, "", ""]).encode() + content)


def label(site: Site, **changed: Any) -> dict[str, Any]:
    entry = site.session.entries[0]
    return {"rater": "ann", "id": entry.id, "value": 1.0, "note": "", **changed}


def kept(site: Site) -> int:
    return len(list(site.session.store.people.history(site.session.run)))


def test_it_listens_on_loopback_alone_and_says_where(site: Site) -> None:
    assert site.server_address[0] == "127.0.0.1"
    assert site.url("Ann Lee & co") == f"{site.origin}/{site.token}/?rater=Ann%20Lee%20%26%20co"
    assert len(site.token) >= 32


def test_the_page_allows_its_own_script_and_nothing_else(site: Site) -> None:
    first, second = ask(site), ask(site)
    assert first.status == 200
    policy = first.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">' in first.body
    assert nonce not in second.body
    assert first.headers["Referrer-Policy"] == "no-referrer"
    assert first.headers["Cache-Control"] == "no-store"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in first.headers["Server"]


@pytest.mark.parametrize("token", ["", "wrong", "W" * 32, "%E2%82%AC", "..", "é"])
@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
def test_without_the_token_there_is_nothing(site: Site, token: str, method: str) -> None:
    found = ask(site, "label", method=method, token=token, body=label(site))
    assert (found.status, kept(site)) == (403, 0)
    assert site.token not in found.body


def test_a_part_of_the_token_is_not_the_token(site: Site) -> None:
    for token in (site.token[:-1], site.token + "x", site.token.swapcase()):
        assert ask(site, token=token).status == 403
    assert (
        send(site, f"GET /{site.token} HTTP/1.1\r\nHost: {site.origin[7:]}\r\n\r\n".encode()).status
        == 403
    )


@pytest.mark.parametrize("host", [None, "evil.example", "localhost:1", "127.0.0.1", "[::1]:80"])
def test_another_host_is_not_served(site: Site, host: str | None) -> None:
    assert ask(site, Host=host).status == 421
    found = ask(site, "label", method="POST", body=label(site), Host=host)
    assert (found.status, kept(site)) == (421, 0)


def test_two_hosts_are_none(site: Site) -> None:
    good = f"127.0.0.1:{site.server_port}"
    raw = f"GET /{site.token}/ HTTP/1.1\r\nHost: {good}\r\nHost: {good}\r\n\r\n"
    assert send(site, raw.encode()).status == 421


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": None}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Length": None}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "x"}, 411),
        ({"Content_Length": "²"}, 411),
        ({"Content_Length": str(MAX_BODY + 1)}, 413),
        ({"Content_Length": "9" * 30}, 413),
        ({"Transfer_Encoding": "chunked"}, 400),
    ],
)
def test_another_page_changes_nothing(site: Site, changed: dict[str, Any], status: int) -> None:
    found = ask(site, "label", method="POST", body=label(site), **changed)
    assert (found.status, kept(site)) == (status, 0)
    assert found.error


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 400, "not what the page sends"),
        (b"{", 400, "not what the page sends"),
        (b"[]", 400, "not what the page sends"),
        (b'{"rater": "a", "value": "1"}', 400, "value"),
        (b'{"rater": "a", "drawn": "random"}', 400, "drawn"),
        (b'{"rater": "\\ud83d"}', 400, "not what the page sends"),
        (b'{"rater": "a", "id": "nobody", "value": 1}', 422, "no item is called 'nobody'"),
        (b'{"rater": "", "id": "nobody", "value": 1}', 422, "no item is called"),
    ],
)
def test_what_the_page_does_not_send_is_refused(
    site: Site, body: bytes, status: int, why: str
) -> None:
    found = ask(site, "label", method="POST", body=body)
    assert (found.status, kept(site)) == (status, 0)
    assert why in found.error


@pytest.mark.parametrize("path", ["etc", "../runs.db", "%2e%2e/x", "label.js", "static/x", "item/"])
def test_nothing_else_is_there(site: Site, path: str) -> None:
    assert ask(site, path).status == 404
    assert ask(site, path, method="POST", body=label(site)).status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    found = ask(site, "label", method=method)
    assert (found.status, found.headers["Allow"]) == (405, "GET, POST")
    assert "Access-Control-Allow-Origin" not in found.headers


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 421),
    ],
)
def test_what_is_no_request_is_told_so(site: Site, raw: bytes, status: int) -> None:
    found = send(site, raw)
    assert found.status == status
    assert found.error


def test_an_absolute_address_is_no_way_in(site: Site) -> None:
    host = f"Host: 127.0.0.1:{site.server_port}\r\n\r\n"
    for first in (f"http://evil/{site.token}/", "http://[", f"//evil/{site.token}/"):
        assert send(site, f"GET {first} HTTP/1.1\r\n{host}".encode()).status == 403


def test_labels_are_kept_and_the_next_item_comes_back(site: Site) -> None:
    state = json.loads(ask(site, "item?rater=ann").body)
    assert state["item"]["id"] == site.session.entries[0].id
    found = ask(site, "label", method="POST", body=label(site, note="so"))
    assert json.loads(found.body)["item"]["id"] == site.session.entries[1].id
    (one,) = site.session.store.people.labels(site.session.run)
    assert (one.rater, one.value, one.note, one.drawn) == ("ann", 1.0, "so", "random")
    assert json.loads(ask(site, "undo", method="POST", body={"rater": "ann"}).body)["undo"] is None
    assert ask(site, "undo", method="POST", body={"rater": "ann"}).status == 422
    assert ask(site, "item").status == 422  # nobody


def test_a_store_that_cannot_be_written_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ConfigError("the run store 'x' cannot be used: disk full")

    monkeypatch.setattr(Session, "_add", full)
    found = ask(site, "label", method="POST", body=label(site))
    assert (found.status, found.error) == (500, "the run store 'x' cannot be used: disk full")


def test_it_ends_when_the_page_says_so(site: Site) -> None:
    assert ask(site, "done", method="POST", body={"rater": "ann"}, Origin="http://x").status == 403
    assert ask(site, "done", method="POST", body={"rater": "ann"}).status == 200
    site.wait()  # returns
