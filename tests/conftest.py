"""What every suite stands on: the engine, a server over it on a real socket, and clients of two tenants."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from handler.api.app import create_app
from handler.api.services import Services
from handler.bootstrap import build_services, create_queue, create_table
from handler.embedded import free_port
from handler.local_worker import LocalWorker
from handler.settings import Settings
from handler.storage.queue import SqsWakes
from tests.engines import Engine, ministack

GRAPHS = Path(__file__).parent / "graphs" / "langgraph.json"
TENANT_HEADER = b"x-test-tenant"


class TenantFromHeader:
    """Stands where API Gateway's authoriser stands: names the caller's tenant, by a header that only tests send."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the authoriser's context."""
        if scope["type"] == "http":
            tenant = dict(scope["headers"]).get(TENANT_HEADER, b"").decode()
            claims = {"tenant": tenant} if tenant else {}
            scope = {**scope, "aws.event": {"requestContext": {"authorizer": claims}}}
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Server:
    """A running server, and the service behind it."""

    url: str
    services: Services

    def client(self, tenant: str) -> httpx.Client:
        """A client that calls as one of the tenant."""
        headers = {TENANT_HEADER.decode(): tenant}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free loopback port, from a thread, and yield its URL."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not start")
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine whose conditions are atomic, once for all tests."""
    with ministack() as engine:
        yield engine


def new_settings(**changed: Any) -> Settings:
    """Settings of a test server; its table is its own."""
    return Settings(
        **{
            "table_name": f"t-{uuid.uuid4().hex[:12]}",
            "langgraph_config": GRAPHS,
            "tenant_claim": "tenant",
            **changed,
        }
    )


@pytest.fixture(scope="session")
def server(engine: Engine) -> Iterator[Server]:
    """A server over the engine, once for all tests."""
    settings = new_settings(queue_url=create_queue(engine.sqs(), f"q-{uuid.uuid4().hex[:12]}"))
    create_table(engine.dynamodb(), settings.table_name)
    wakes = SqsWakes(engine.sqs(), settings.queue_url)
    services = build_services(settings, dynamodb=engine.new_dynamodb(), wakes=wakes)
    worker = LocalWorker(wakes, services.attendant, services.loop)
    worker.start()
    with serving(TenantFromHeader(create_app(services))) as url:
        yield Server(url, services)
    worker.stop()


@pytest.fixture(scope="session")
def api(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of the server; CONTRACT_URL names another server to hold the contract tests against."""
    elsewhere = os.environ.get("CONTRACT_URL")
    if elsewhere:
        with httpx.Client(base_url=elsewhere, timeout=60, trust_env=False) as client:
            yield client
        return
    server: Server = request.getfixturevalue("server")
    with server.client("acme") as client:
        yield client


@pytest.fixture(scope="session")
def other_tenant(server: Server) -> Iterator[httpx.Client]:
    """A client of the same server that belongs to another tenant."""
    with server.client("globex") as client:
        yield client


@pytest.fixture
def thread_id(api: httpx.Client) -> str:
    """A fresh thread."""
    created: str = api.post("/threads", json={}).json()["thread_id"]
    return created


@pytest.fixture
def seen(api: httpx.Client) -> Callable[[str], dict[str, Any]]:
    """All that a client can see of a thread, to compare before and after."""

    def look(thread_id: str) -> dict[str, Any]:
        return {
            "thread": api.get(f"/threads/{thread_id}").json(),
            "state": api.get(f"/threads/{thread_id}/state").json(),
            "runs": api.get(f"/threads/{thread_id}/runs", params={"limit": 100}).json(),
        }

    return look


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many faults were tried by scenario, and their sum, whichever processes tried them."""
    scenarios: dict[str, list[int]] = {}
    for report in (one for reports in terminalreporter.stats.values() for one in reports):
        for kind, found in getattr(report, "user_properties", ()):
            if kind == "faults" and getattr(report, "when", None) == "teardown":
                name, calls, tried, violations = found
                row = scenarios.setdefault(name, [0, 0, 0])
                row[:] = max(row[0], calls), row[1] + tried, row[2] + violations
    if not scenarios:
        return
    terminalreporter.section("faults tried")
    for name, (calls, tried, violations) in sorted(scenarios.items()):
        terminalreporter.write_line(f"{name:45} {calls:5} calls {tried:6} faults {violations:4} violations")
    tried, violations = (sum(row[place] for row in scenarios.values()) for place in (1, 2))
    terminalreporter.write_line(f"{'in total':45} {'':11} {tried:6} faults {violations:4} violations")
