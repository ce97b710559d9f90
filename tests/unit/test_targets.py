"""Webhooks' targets: what may be called, and that what was checked is what is called."""

import socket
import threading
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from typing import Any

import pytest

from handler.errors import Invalid
from handler.runs import targets
from handler.runs.targets import Targets, is_public, target_of
from handler.runs.webhook_config import UrlPolicy


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.255", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
        *("169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.0.0.192"),
        *("::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254"),
        *("fec0::1", "::ffff:169.254.170.2"),
        *("ff02::1", "2001:db8::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:53aa:64c::1"),
    ],
)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("", "x", "/x", "//93.184.216.34/", "example.com/x", "ftp://93.184.216.34/", "file:///etc/passwd", "http://"),
        *("https:///x", "http://93.184.216.34:99999/", "http://93.184.216.34:x/", "http://[::1/", "http://1.1.1.1/a b"),
        *("http://1.1.1.1/\r\nX: y", "http://1.1.1.1/ä", "javascript:alert(1)"),
    ],
    ids=lambda url: url[:30],
)
def test_what_is_no_absolute_web_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        target_of(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://localhost/", "http://LOCALHOST./", "http://a.localhost/", "http://metadata.google.internal/"),
        *("http://host.docker.internal/", "http://db.svc/", "http://x.svc.cluster.local/"),
        *("http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"),
        *("http://[::1]/", "http://[::ffff:169.254.169.254]/", "http://0/", "http://10.0.0.1:8080/x?y"),
    ],
)
def test_the_inside_is_refused_however_it_is_spelled(url: str) -> None:
    with pytest.raises(Invalid, match="blocked"):
        Targets().check(url)


def at(*addresses: str) -> Any:
    """A resolver that knows one answer."""

    def lookup(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return lookup


def unknown(_host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror("no such host")


@pytest.mark.parametrize("lookup", [at("10.0.0.1"), at("1.1.1.1", "10.0.0.1"), at("1.1.1.1", "::1"), at(), unknown])
def test_a_name_is_refused_if_any_of_its_addresses_is_inside_or_it_has_none(lookup: Any) -> None:
    with pytest.raises(Invalid, match="blocked"):
        Targets(lookup=lookup).check("https://example.com/")


def test_a_name_of_the_internet_may_be_called() -> None:
    target, addresses = Targets(lookup=at("1.1.1.1")).check("https://user:p%40ss@Example.com/hook?a=b#c")
    assert (target.tls, target.host, target.port, target.path) == (True, "example.com", 443, "/hook?a=b")
    assert target.authorization == "Basic dXNlcjpwQHNz"
    assert addresses == ("1.1.1.1",)


def test_a_host_that_is_allowed_may_be_inside() -> None:
    chosen = Targets("hooks.internal, 10.0.0.1", lookup=at("10.0.0.1"))
    assert chosen.check("http://hooks.internal/")[1] == ("10.0.0.1",)
    assert chosen.check("http://10.0.0.1/")[1] == ("10.0.0.1",)
    with pytest.raises(Invalid):
        chosen.check("http://other.example.com/")


@pytest.mark.parametrize(
    ("host", "address", "allowed"),
    [
        ("hooks.example.com", "10.0.0.1", True),
        ("hooks.example.com", "fec0::1", True),
        ("hooks.example.com", "127.0.0.1", False),
        ("hooks.example.com", "::ffff:127.0.0.1", False),
        ("hooks.example.com", "169.254.169.254", False),
        ("hooks.example.com", "fd00:ec2::254", False),
        ("localhost", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("169.254.169.254", "169.254.169.254", False),
        ("a.mycorp.com", "1.1.1.1", True),
        ("a.mycorp.com", "10.0.0.1", False),
        ("a.mycorp.com", "127.0.0.1", False),
        ("a.corp.internal", "1.1.1.1", True),
        ("a.corp.internal", "10.0.0.1", False),
    ],
)
@pytest.mark.parametrize("where", ["settings", "langgraph.json"])
def test_only_a_host_that_is_named_exactly_may_be_inside_and_none_is_of_this_machine_or_link(
    where: str, host: str, address: str, allowed: bool
) -> None:
    named = ("hooks.example.com", "localhost", "127.0.0.1", "169.254.169.254")
    domains = (
        *(named if where == "langgraph.json" else (host,) if host in named else ()),
        "*.mycorp.com",
        "*.internal",
    )
    chosen = Targets("" if where == "langgraph.json" else ",".join(named), UrlPolicy(domains), lookup=at(address))
    if allowed:
        assert chosen.check(f"https://{host}/")[1] == (address,)
    else:
        with pytest.raises(Invalid, match="blocked"):
            chosen.check(f"https://{host}/")


@pytest.mark.parametrize(
    ("policy", "url", "allowed"),
    [
        ({}, "http://1.1.1.1/" + "x" * 4100, False),
        ({"longest": 20}, "http://1.1.1.1/" + "x" * 20, False),
        ({"require_https": True}, "http://1.1.1.1/", False),
        ({"require_https": True}, "https://1.1.1.1/", True),
        ({"allowed_ports": (443,)}, "https://1.1.1.1/", True),
        ({"allowed_ports": (443,)}, "http://1.1.1.1/", False),
        ({"allowed_ports": (443,)}, "https://1.1.1.1:444/", False),
        ({"allowed_domains": ("1.1.1.1",)}, "http://1.1.1.1/", True),
        ({"allowed_domains": ("1.1.1.1",)}, "http://8.8.8.8/", False),
        ({"allowed_domains": ("10.0.0.1",)}, "http://10.0.0.1/", True),
        ({"loopback": True}, "http://127.0.0.1/", True),
        ({"loopback": True}, "http://localhost/", True),
        ({"loopback": True}, "http://10.0.0.1/", False),
        ({"loopback": True}, "/relative", False),
        ({"private": True}, "http://10.0.0.1/", True),
        ({"private": True}, "http://[fd00::1]/", True),
        ({"private": True}, "http://[::ffff:10.0.0.1]/", True),
        ({"private": True}, "http://127.0.0.1/", False),
        ({"private": True}, "http://169.254.169.254/", False),
        ({"private": True, "loopback": True}, "http://169.254.169.254/", False),
    ],
    ids=str,
)
def test_the_policy_of_langgraph_json_is_heeded(policy: dict[str, Any], url: str, allowed: bool) -> None:
    chosen = Targets(policy=UrlPolicy(**policy))
    if allowed:
        assert chosen.check(url)
    else:
        with pytest.raises(Invalid):
            chosen.check(url)


@pytest.mark.parametrize(
    ("host", "named"),
    [("a.mycorp.com", True), ("mycorp.com", False), ("evilmycorp.com", False), ("hooks.example.com", True)],
)
def test_a_wildcard_names_what_is_below_it(host: str, named: bool) -> None:
    assert UrlPolicy(allowed_domains=("*.mycorp.com", "hooks.example.com")).names(host) is named


class Answers:
    """A server that answers the bytes it is told to, and keeps what it was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                data = b""
                while not data.endswith(b"{}"):
                    data += connection.recv(65536)
                self.asked.append(data)
                connection.sendall(self.answer)
                if not self.answer.endswith(b"\n\n"):
                    connection.recv(1)  # until the other side has had enough


@pytest.fixture
def served() -> Iterator[list[Answers]]:
    servers: list[Answers] = []
    yield servers
    for server in servers:
        server.listener.close()


def serve(served: list[Answers], answer: bytes) -> Answers:
    served.append(Answers(answer))
    return served[-1]


def test_what_was_checked_is_what_is_called(served: list[Answers]) -> None:
    server = serve(served, b"HTTP/1.1 204 No Content\r\n\r\n\n\n")
    looked: list[str] = []

    def rebinding(host: str, _port: int) -> Sequence[str]:
        looked.append(host)
        return ["127.0.0.1"] if len(looked) == 1 else ["10.255.255.1"]

    chosen = Targets(policy=UrlPolicy(loopback=True), lookup=rebinding)
    status = chosen.post(f"http://hook.example:{server.port}/x?y", {"A": "b"}, b"{}")
    assert (status, looked) == (204, ["hook.example"])
    (asked,) = server.asked
    assert asked.startswith(b"POST /x?y HTTP/1.1\r\n")
    assert f"Host: hook.example:{server.port}\r\n".encode() in asked
    assert b"A: b\r\n" in asked


def test_a_name_that_has_moved_inside_since_the_request_is_not_called(served: list[Answers]) -> None:
    server = serve(served, b"HTTP/1.1 200 OK\r\n\r\n\n\n")
    addresses = [["93.184.216.34"], ["127.0.0.1"]]
    chosen = Targets(lookup=lambda _host, _port: addresses.pop(0))
    url = f"http://hook.example:{server.port}/"
    chosen.check(url)
    with pytest.raises(Invalid, match="not public"):
        chosen.post(url, {}, b"{}")
    assert server.asked == []


def test_a_redirect_is_an_answer_and_not_followed(served: list[Answers]) -> None:
    server = serve(served, b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n\n\n")
    assert Targets("127.0.0.1").post(f"http://127.0.0.1:{server.port}/", {}, b"{}") == 302
    assert len(server.asked) == 1


def test_the_next_address_is_tried_when_one_takes_no_connection(served: list[Answers]) -> None:
    server = serve(served, b"HTTP/1.1 200 OK\r\n\r\n\n\n")
    chosen = Targets(policy=UrlPolicy(loopback=True), lookup=at("127.0.0.2", "127.0.0.1"))
    assert chosen.post(f"http://hook.example:{server.port}/", {}, b"{}") == 200


def test_a_webhook_that_never_ends_its_answer_is_left(served: list[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(served, b"HTTP/1.1 2")
    monkeypatch.setattr(targets, "ANSWER_S", 0.2)
    with pytest.raises((OSError, HTTPException)):
        Targets("127.0.0.1").post(f"http://127.0.0.1:{server.port}/", {}, b"{}")
