"""A server of its own, with a graph that has something for every stream mode."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from handler.api.app import create_app
from handler.bootstrap import build_services, create_queue, create_table
from handler.local_worker import LocalWorker
from handler.storage.queue import SqsWakes
from tests.conftest import Server, TenantFromHeader, new_settings, serving
from tests.engines import Engine

GRAPHS = Path(__file__).parents[2] / "graphs" / "streams" / "langgraph.json"


@pytest.fixture(scope="session")
def server(engine: Engine) -> Iterator[Server]:
    """A server over the engine, once for the tests of this folder."""
    queue_url = create_queue(engine.sqs(), f"q-{uuid.uuid4().hex[:12]}")
    settings = new_settings(queue_url=queue_url, langgraph_config=GRAPHS)
    create_table(engine.dynamodb(), settings.table_name)
    wakes = SqsWakes(engine.sqs(), settings.queue_url)
    services = build_services(settings, dynamodb=engine.new_dynamodb(), wakes=wakes)
    worker = LocalWorker(wakes, services.attendant, services.loop)
    worker.start()
    with serving(TenantFromHeader(create_app(services))) as url:
        yield Server(url, services)
    worker.stop()


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[httpx.Client]:
    """A client of the server."""
    with server.client("acme") as client:
        yield client


@pytest.fixture(scope="session")
def other_tenant(server: Server) -> Iterator[httpx.Client]:
    """A client of the same server that belongs to another tenant."""
    with server.client("globex") as client:
        yield client
