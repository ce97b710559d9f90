"""What another tenant owns is not there: each route answers as it does for an id that nobody has."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route

from tests.contract.calls import UNKNOWN, Json, Seen, read, wait

RUN = {"assistant_id": "log", "input": {"n": 1, "name": "intruder"}}


@dataclass(frozen=True, slots=True)
class Reach:
    """A request that reaches for what somebody owns."""

    method: str
    path: str
    """The route's template; its parameters name things of the owner."""
    body: Json | None = None
    query: Json = field(default_factory=dict)


OWNED = [
    Reach("GET", "/threads/{thread_id}"),
    Reach("PATCH", "/threads/{thread_id}", {"metadata": {"intruder": True}}),
    Reach("DELETE", "/threads/{thread_id}"),
    Reach("GET", "/threads/{thread_id}/state"),
    Reach("GET", "/threads/{thread_id}/runs"),
    Reach("POST", "/threads/{thread_id}/runs/wait", RUN),
    Reach("GET", "/threads/{thread_id}/runs/{run_id}"),
    Reach("GET", "/threads/{thread_id}/runs/{run_id}/join"),
]

NOBODYS = {
    ("GET", "/ok"),
    ("GET", "/info"),
    ("GET", "/docs"),
    ("GET", "/docs/oauth2-redirect"),
    ("GET", "/openapi.json"),
    ("GET", "/redoc"),
    # These name nothing that a tenant owns: a new thread is the caller's own, and system assistants are everybody's.
    ("POST", "/threads"),
    ("GET", "/assistants/search"),
    ("POST", "/assistants/search"),
    ("GET", "/assistants/{assistant_id}"),
}


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Each method and path that the application answers."""

    def walk(routes: list[BaseRoute], prefix: str) -> Iterator[tuple[str, str]]:
        for route in routes:
            if isinstance(route, Mount):
                yield from walk(route.routes, prefix + route.path)
            elif isinstance(route, Route | APIRoute):
                yield from ((method, prefix + route.path) for method in (route.methods or ()) if method != "HEAD")
            else:
                raise TypeError(f"a kind of route that this test does not know: {route!r}")

    yield from walk(list(app.routes), "")


@pytest.fixture
def owned(api: httpx.Client, thread_id: str) -> dict[str, str]:
    """The ids of a thread with a finished run; the caller of `api` owns both."""
    wait(api, thread_id, input={"n": 1})
    return {"thread_id": thread_id, "run_id": read(api, f"/threads/{thread_id}/runs")[0]["run_id"]}


def test_every_route_is_covered_here(app: FastAPI) -> None:
    covered = {(reach.method, reach.path) for reach in OWNED} | NOBODYS
    assert {(method, path) for method, path in routes_of(app)} - covered == set()


def test_the_covered_routes_exist(app: FastAPI) -> None:
    assert {(reach.method, reach.path) for reach in OWNED} - set(routes_of(app)) == set()


@pytest.mark.parametrize("reach", OWNED, ids=lambda reach: f"{reach.method} {reach.path}")
def test_another_tenants_thing_answers_as_if_it_were_not_there(
    reach: Reach, api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str], seen: Seen
) -> None:
    before = seen(owned["thread_id"])

    def ask(client: httpx.Client, names: dict[str, Any]) -> tuple[int, str]:
        response = client.request(reach.method, reach.path.format(**names), json=reach.body, params=reach.query)
        text = response.text
        for name in names.values():
            text = text.replace(name, "ID")
        return response.status_code, text

    status, text = ask(other_tenant, owned)

    assert status == 404, text
    assert (status, text) == ask(other_tenant, {**owned, "thread_id": UNKNOWN})
    assert seen(owned["thread_id"]) == before
    # The owner is not refused, so the refusal above is about who asks.
    assert ask(api, owned)[0] in {200, 204}


def test_two_tenants_may_use_one_thread_id(
    api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str], seen: Seen
) -> None:
    before = seen(owned["thread_id"])

    response = other_tenant.post("/threads", json={"thread_id": owned["thread_id"], "metadata": {"whose": "theirs"}})

    assert response.status_code == 200, response.text
    assert wait(other_tenant, owned["thread_id"], input={"n": 1, "name": "theirs"})["entries"] == ["theirs-0"]
    assert seen(owned["thread_id"]) == before
    assert other_tenant.get(f"/threads/{owned['thread_id']}/runs/{owned['run_id']}").status_code == 404
    assert other_tenant.delete(f"/threads/{owned['thread_id']}").status_code == 204
    assert seen(owned["thread_id"]) == before


def test_if_not_exists_create_makes_a_thread_of_ones_own(
    api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str], seen: Seen
) -> None:
    before = seen(owned["thread_id"])
    given = {"n": 1, "name": "theirs"}
    result = wait(other_tenant, owned["thread_id"], input=given, if_not_exists="create")
    assert result["entries"] == ["theirs-0"]
    assert seen(owned["thread_id"]) == before


@pytest.mark.parametrize("shape", ["checkpoint_id", "checkpoint"])
def test_another_tenants_checkpoint_is_not_there(
    shape: str, api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str]
) -> None:
    foreign = read(api, f"/threads/{owned['thread_id']}/state")["checkpoint_id"]
    created = other_tenant.post("/threads", json={"thread_id": owned["thread_id"]})
    assert created.status_code == 200, created.text
    at: Json = {"checkpoint_id": foreign}
    result = wait(
        other_tenant,
        owned["thread_id"],
        input=None,
        **(at if shape == "checkpoint_id" else {"checkpoint": at}),
    )
    assert result["__error__"]["error"] == "EmptyInputError"


def test_both_tenants_see_the_system_assistants(api: httpx.Client, other_tenant: httpx.Client) -> None:
    body = {"sort_by": "name", "sort_order": "asc"}
    mine, theirs = (client.post("/assistants/search", json=body) for client in (api, other_tenant))
    assert mine.status_code == 200
    assert mine.json() == theirs.json()
    assert len(mine.json()) == 7
