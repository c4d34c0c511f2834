"""Whatever a model asks the web for, nothing behind the firewall answers."""

import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_ai import ModelRetry

from assay.deps.fence import unfence
from assay.deps.web import GuardedClient, Reach, Web
from assay.deps.web.addresses import Address, parsed, why_refused
from assay.tools.web import fetch_page

from .pages import Pages, answer, context, fetched, mocked, opened, redirect, refused

PEM = Path(__file__).with_name("pinned_test.pem")

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.localdomain": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "metadata": ["169.254.169.254"],
    "intranet": ["10.1.2.3"],
    "printer.local": ["192.168.1.9"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "both.example": ["93.184.215.14", "10.0.0.5"],
    "both6.example": ["93.184.215.14", "fd00::5"],
    "zone.example": ["fe80::1%eth0"],
    "garbled.example": ["not an address"],
    "none.example": [],
}

HOSTILE = (
    # what is no web
    "file:///etc/passwd",
    "ftp://example.com/a",
    "gopher://example.com:70/_x",
    "data:text/html,<p>x",
    "javascript:alert(1)",
    "ws://example.com/",
    "dict://example.com:2628/d",
    "//example.com/",
    "example.com",
    "",
    "http://",
    "http:///etc/passwd",
    # who is asked, and what for
    "http://user:secret@example.com/",
    "https://user@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com:22/",
    "http://example.com:6379/",
    "https://example.com:8443/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com/ HTTP/1.1\r\nHost: 127.0.0.1",
    "http://example.com/\u202e",
    "http://example.com/" + "a" * 3000,
    # names
    "http://localhost/",
    "http://LOCALHOST./",
    "http://localhost.localdomain/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://metadata/",
    "http://intranet/",
    "http://printer.local/",
    "http://127.0.0.1.nip.io/",
    "http://both.example/",
    "http://both6.example/",
    "http://zone.example/",
    "http://garbled.example/",
    "http://none.example/",
    "http://gone.example/",
    # IPv4, in every spelling
    "http://127.0.0.1/",
    "http://127.0.0.1./",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0/",
    "http://0.0.0.0/",
    "http://１２７.0.0.1/",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://%31%32%37.0.0.1/",
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    # IPv6, and IPv4 inside of it
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2600::5efe:10.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
)


async def names(host: str, port: int) -> Sequence[str]:
    """Resolve as the world does, and every other name to a public address."""
    if host == "gone.example":
        raise OSError("no such host")
    return NAMES.get(host, ["93.184.215.14"])


@pytest.fixture
def sent() -> Iterator[list[httpx2.Request]]:
    """What is sent, in place of the network."""
    requests: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, headers={"content-type": "text/plain"}, content=chunks())

    async def chunks() -> AsyncIterator[bytes]:
        yield b"public"

    with mocked(handle):
        yield requests


# -- what is refused


def test_the_table_is_long_enough() -> None:
    assert len(set(HOSTILE)) >= 40


@pytest.mark.parametrize("url", HOSTILE)
async def test_a_hostile_url_is_refused_before_anything_is_sent(
    url: str, sent: list[httpx2.Request]
) -> None:
    said = await refused(Web(client=GuardedClient(Reach(resolve=names))), url)
    assert not sent
    assert len(said) > 30
    assert "secret" not in said


async def test_a_public_page_passes_the_same_guard(sent: list[httpx2.Request]) -> None:
    web = Web(client=GuardedClient(Reach(resolve=names)))
    page = await fetched(web, "https://example.com/a?b=c")
    assert unfence("page", page.text) == "public"
    (request,) = sent
    assert str(request.url) == "https://93.184.215.14/a?b=c"
    assert request.headers["host"] == "example.com"
    assert request.extensions["sni_hostname"] == "example.com"


@pytest.mark.parametrize("literal", ["8.8.8.8", "[2606:4700::1111]", "[64:ff9b::808:808]"])
async def test_a_public_address_passes(literal: str, sent: list[httpx2.Request]) -> None:
    await fetched(Web(client=GuardedClient(Reach(resolve=names))), f"http://{literal}/")
    assert len(sent) == 1


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://example.com/a",
        "gopher://example.com:70/_x",
        "http://metadata.google.internal/",
        "http://intranet/",
        "http://both.example/",
        "//printer.local/",
        "http://user:secret@example.com/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[x/",
        "http://\xff/",
    ],
)
async def test_a_redirect_is_checked_like_a_first_request(location: str) -> None:
    pages = {"/a": redirect("/b"), "/b": redirect(location)}
    async with Pages(pages) as served:
        said = await refused(opened(resolve=names), served.url("/a"))
        assert "secret" not in said
        assert len(served.heads) == 2


@given(st.ip_addresses())
def test_what_passes_is_public_to_the_standard_library_too(address: Address) -> None:
    if why_refused(address) is None and address.packed[:12] != bytes.fromhex("0064ff9b") + bytes(8):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_its_ipv6_forms(address: IPv4Address) -> None:
    mapped = IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    nat64 = IPv6Address(bytes.fromhex("0064ff9b") + bytes(8) + address.packed)
    assert why_refused(mapped) == why_refused(nat64) == why_refused(address)


@given(st.ip_addresses(v=6))
def test_a_zone_changes_nothing(address: IPv6Address) -> None:
    assert parsed(f"{address}%eth0") == address


def test_an_exempt_network_does_not_open_the_metadata_service() -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert why_refused(ip_address("10.0.0.1"), everything) is None
    for text in ("169.254.169.254", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254"):
        assert why_refused(ip_address(text), everything) == "a cloud's metadata service"


# -- the address that was checked is the one that is asked


async def test_a_name_that_changes_its_address_is_asked_where_it_was_checked() -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    async with Pages({"/": answer(b"here")}) as pages:
        web = opened(resolve=rebinding)
        async with web.client:
            page = await fetch_page(context(web), pages.url("/", "pinned.test"))
            assert unfence("page", page.text) == "here"
            assert asked == ["pinned.test"]  # once: nobody resolves the name a second time
            with pytest.raises(ModelRetry, match=r"10\.0\.0\.1.*private"):
                await fetch_page(context(web), pages.url("/", "pinned.test"))
    assert f"Host: pinned.test:{pages.port}" in pages.heads[0]
    assert len(pages.heads) == 1


async def test_of_several_addresses_the_next_is_asked_where_one_is_dead() -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]  # the server listens at the second

    async with Pages({"/": answer(b"here")}) as pages:
        wide = Reach(ports=None, exempt=(ip_network("127.0.0.0/8"),), resolve=two)
        client = GuardedClient(wide, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        page = await fetched(Web(client=client), pages.url("/", "two.test"))
    assert unfence("page", page.text) == "here"


def certified() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the context of a server called pinned.test, and of a client that trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(PEM)
    return server, ssl.create_default_context(cafile=str(PEM))


async def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_tls_verifies_the_name_and_not_the_address() -> None:
    server, client = certified()
    async with Pages({"/": answer(b"safe")}, tls=server) as pages:
        page = await fetched(opened(tls=client, resolve=here), pages.url("/", "pinned.test"))
        assert unfence("page", page.text) == "safe"
        said = await refused(opened(tls=client, resolve=here), pages.url("/", "other.test"))
        assert "certificate" in said
        said = await refused(opened(resolve=here), pages.url("/", "pinned.test"))
        assert "certificate" in said
    assert len(pages.heads) == 1


async def test_a_connection_verified_for_one_name_does_not_serve_another() -> None:
    server, client = certified()
    async with Pages({"/": answer(b"safe")}, tls=server) as pages:
        web = opened(tls=client, resolve=here)
        async with web.client:
            await fetch_page(context(web), pages.url("/", "pinned.test"))
            with pytest.raises(ModelRetry, match="certificate"):
                await fetch_page(context(web), pages.url("/", "other.test"))


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Pages({"/": answer(b"direct")}) as pages:
        page = await fetched(opened(), pages.url("/"))
    assert unfence("page", page.text) == "direct"


async def test_no_cookie_outlives_its_page() -> None:
    cookie = answer(b"x", "text/plain", "200 OK", "set-cookie: run=1; path=/")
    async with Pages({"/": cookie}) as pages:
        web = opened()
        async with web.client:
            for _ in range(2):
                await fetch_page(context(web), pages.url("/"))
    assert len(pages.heads) == 2
    assert not any("cookie" in head.lower() for head in pages.heads)


# -- the laws of both together

PIECES = st.sampled_from([
    "http://", "https://", "//", "@", ":", "80", "/", "\\", "[", "]", "::1", "127.0.0.1", "0x7f",
    ".", "10.0.0.1", "8.8.8.8", "example.com", "localhost", "%", "#", "?", "user", "é", "。", "ß",
])  # fmt: skip
URLS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=40)


@given(url=URLS, location=URLS)
@example(url="http://8.8.8.8/", location="http://10.0.0.1/")
async def test_whatever_is_asked_only_public_addresses_are(url: str, location: str) -> None:
    sent: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.url.host)
        return httpx2.Response(302, headers=[(b"location", location.encode("utf-8", "replace"))])

    with mocked(handle):
        web = Web(client=GuardedClient(Reach(resolve=names)), redirects=2)
    with pytest.raises(ModelRetry):
        await fetch_page(context(web), url)
    assert all(why_refused(ip_address(host)) is None for host in sent)
