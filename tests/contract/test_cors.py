"""Pages of named origins may call, and read what leads them to a result; others may not."""

from collections.abc import Iterator

import httpx
import pytest

from handler.api.app import create_app
from handler.bootstrap import build_services
from tests.conftest import new_settings, serving
from tests.engines import Engine

PAGE = "https://app.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[httpx.Client]:
    """A client of a server that lets one page in."""
    settings = new_settings(cors_origins=PAGE, tenant_claim="")
    engine.create_table(settings.table_name)
    services = build_services(settings, dynamodb=engine.new_dynamodb())
    with serving(create_app(services)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def test_a_preflight_is_answered_without_a_key(client: httpx.Client) -> None:
    answer = client.options("/threads/x/runs/wait", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-api-key" in answer.headers["access-control-allow-headers"]


def test_a_page_may_read_where_its_result_will_be(client: httpx.Client) -> None:
    answer = client.get("/ok", headers={"Origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"Location", "Content-Location", "Retry-After"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )


def test_another_page_is_let_in_nowhere(client: httpx.Client) -> None:
    answer = client.get("/ok", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers
