"""The smoke script, against a server behind something that asks for a key, as API Gateway does."""

import sys
from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from handler.api.app import create_app
from infra import smoke
from infra.smoke import CAPABILITIES, Capability, expect
from tests.conftest import TENANT_HEADER, Server, TenantFromHeader, serving

KEY = "the-key"
PACE = 0.12
"""Runs that are to outlive `Prefer: wait=1` last 1.4 s."""


class Keyed:
    """Asks for the key, whose owner is a tenant of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if (b"x-api-key", KEY.encode()) not in scope["headers"]:
            await JSONResponse({"message": "Forbidden"}, 403)(scope, receive, send)
            return
        await self.app({**scope, "headers": [*scope["headers"], (TENANT_HEADER, b"smoke")]}, receive, send)


@pytest.fixture(scope="module")
def url(server: Server) -> Iterator[str]:
    """A server that asks for the key."""
    with serving(Keyed(TenantFromHeader(create_app(server.services)))) as url:
        yield url


@pytest.fixture(scope="module")
def left_behind(server: Server) -> Iterator[None]:
    """In the end, nothing is."""
    yield
    with server.client("smoke") as client:
        for kind in ("threads", "runs/crons", "store/items"):
            found = client.post(
                f"/{kind}/search", json={} if kind != "store/items" else {"namespace_prefix": []}
            ).json()
            assert (found["items"] if isinstance(found, dict) else found) == [], kind
        assistants = client.post("/assistants/search", json={"limit": 100}).json()
        assert {each["metadata"]["created_by"] for each in assistants} == {"system"}


@pytest.mark.usefixtures("left_behind")
@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda each: each.__name__)
async def test_every_capability_of_a_server_passes(
    capability: Capability, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await smoke.smoke(url, KEY, [capability.__name__], PACE) == 0
    verdict = capsys.readouterr().out.partition(" ")[0]
    assert verdict == ("n.a." if capability is smoke.redirect_is_followed else "pass")


async def test_without_a_key_none_can_be_missing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert await smoke.smoke(server.url, None, ["no_key_no_answer"]) == 0
    assert capsys.readouterr().out.startswith("n.a.  no_key_no_answer")


async def test_a_server_that_answers_without_the_key_fails(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with server.client("x") as client:
        assert client.get("/info").status_code == 200
    assert await smoke.smoke(server.url, KEY, ["no_key_no_answer"]) == 1
    assert capsys.readouterr().out.startswith("FAIL  no_key_no_answer")


async def test_what_fails_is_told_and_the_rest_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def lacking(server: smoke.Server) -> None:
        expect(await server.thread() == "x", "another")

    async def breaking(_server: smoke.Server) -> None:
        raise httpx.ReadTimeout("too slow")

    monkeypatch.setattr(smoke, "CAPABILITIES", (lacking, breaking, smoke.turns))
    assert await smoke.smoke(url, KEY, []) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["FAIL", "lacking"], ["FAIL", "breaking"], ["pass", "turns"]]
    assert "saw 'another'" in lines[0]
    assert "too slow" in lines[1]


def test_a_capability_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["smoke", "http://127.0.0.1:1", "held_sandbox", "nonsense"])
    with pytest.raises(SystemExit, match="2"):
        smoke.main()
