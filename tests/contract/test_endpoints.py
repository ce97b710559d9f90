"""What LangGraph's clients call: served, or refused by name."""

import httpx
import pytest

from handler.api.app import ROUTERS
from handler.api.endpoints import DOCS, ENDPOINTS, refusals, served
from tests.contract.calls import UNKNOWN

REFUSED = sorted(set(ENDPOINTS) - served(ROUTERS) - {DOCS})


@pytest.mark.parametrize("endpoint", REFUSED)
def test_what_is_not_served_is_refused_by_name(endpoint: str, api: httpx.Client) -> None:
    method, path = endpoint.split(" ")
    filled = "/".join(UNKNOWN if part.startswith("{") else part for part in path.split("/"))
    response = api.request(method, filled, json={})
    assert response.status_code == 501
    assert response.json() == {"detail": f"{endpoint} is not supported by this server"}


def test_each_endpoint_is_served_or_refused_and_never_both() -> None:
    refused = {
        f"{method} {route.path}" for route in refusals(ROUTERS) for method in route.methods or () if method != "HEAD"
    }
    assert refused == set(REFUSED)
    assert len(set(ENDPOINTS)) == len(ENDPOINTS)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", f"/threads/{UNKNOWN}/nowhere", 404), ("PUT", "/threads", 405)],
)
def test_what_nobody_calls_stays_unknown(method: str, path: str, status: int, api: httpx.Client) -> None:
    response = api.request(method, path)
    assert response.status_code == status
    assert list(response.json()) == ["detail"]
