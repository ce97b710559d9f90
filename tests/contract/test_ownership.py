"""What another tenant owns is not there: each route answers as it does for an id that nobody has."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from handler.api.app import ROUTERS, create_app
from handler.api.endpoints import refusals
from tests.contract.calls import UNKNOWN, Json, Seen, busy, last_run, read, state_of, until, wait

if TYPE_CHECKING:
    from tests.conftest import Server

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
    Reach("GET", "/threads/{thread_id}/state/{checkpoint_id}"),
    Reach("POST", "/threads/{thread_id}/state/checkpoint", {"checkpoint": {"checkpoint_id": UNKNOWN}}),
    Reach("POST", "/threads/{thread_id}/state", {"values": {"name": "intruder"}}),
    Reach("GET", "/threads/{thread_id}/history"),
    Reach("POST", "/threads/{thread_id}/history", {"limit": 5}),
    Reach("GET", "/threads/{thread_id}/runs"),
    Reach("POST", "/threads/{thread_id}/runs/wait", RUN),
    Reach("POST", "/threads/{thread_id}/runs", RUN),
    Reach("GET", "/threads/{thread_id}/runs/{run_id}"),
    Reach("GET", "/threads/{thread_id}/runs/{run_id}/join"),
    Reach("GET", "/assistants/{assistant_id}"),
    Reach("PATCH", "/assistants/{assistant_id}", {"name": "intruder"}),
    Reach("DELETE", "/assistants/{assistant_id}"),
    Reach("POST", "/assistants/{assistant_id}/versions", {}),
    Reach("POST", "/assistants/{assistant_id}/latest", {"version": 1}),
    Reach("GET", "/assistants/{assistant_id}/graph"),
    Reach("GET", "/assistants/{assistant_id}/schemas"),
    Reach("GET", "/assistants/{assistant_id}/subgraphs"),
    Reach("GET", "/assistants/{assistant_id}/subgraphs/{namespace}"),
    Reach("POST", "/threads/{thread_id}/runs/crons", {"assistant_id": "log", "schedule": "0 0 1 1 *"}),
    Reach("GET", "/runs/crons/{cron_id}"),
    Reach("PATCH", "/runs/crons/{cron_id}", {"metadata": {"intruder": True}}),
    Reach("DELETE", "/runs/crons/{cron_id}"),
    Reach("POST", "/threads/{thread_id}/runs/stream", RUN),
    Reach("GET", "/threads/{thread_id}/runs/{run_id}/stream"),
    Reach(
        "POST",
        "/threads/{thread_id}/commands",
        {"id": 1, "method": "input.respond", "params": {"interrupt_id": "i", "response": "intruder"}},
    ),
]

OPEN = [
    Reach("GET", "/threads/{thread_id}/stream"),
    Reach("POST", "/threads/{thread_id}/stream/events", {"channels": ["values"]}),
]
"""What stays open for its owner."""

NOBODYS = {
    # Each of a batch's runs gets a thread of its own, and so does each run of such a cron; what is listed is the
    # caller's own.
    ("POST", "/runs/batch"),
    ("POST", "/runs/crons"),
    ("POST", "/runs/crons/search"),
    ("POST", "/runs/crons/count"),
    ("GET", "/ok"),
    ("GET", "/info"),
    ("GET", "/docs"),
    ("GET", "/docs/oauth2-redirect"),
    ("GET", "/openapi.json"),
    ("GET", "/redoc"),
    # These name nothing that a tenant owns: a new thread is the caller's own, and system assistants are everybody's.
    ("POST", "/threads"),
    # Below, for these answer otherwise than with a 404.
    ("POST", "/threads/search"),
    ("POST", "/threads/count"),
    ("POST", "/threads/prune"),
    ("POST", "/threads/{thread_id}/copy"),
    ("POST", "/assistants"),
    ("POST", "/assistants/search"),
    ("POST", "/assistants/count"),
    # A namespace is the caller's own, whatever its labels: test_store holds the tenants apart.
    ("PUT", "/store/items"),
    ("GET", "/store/items"),
    ("DELETE", "/store/items"),
    ("POST", "/store/items/search"),
    ("POST", "/store/namespaces"),
    # A run without a thread gets a new one.
    ("POST", "/runs"),
    ("POST", "/runs/stream"),
    ("POST", "/runs/wait"),
}


STOPPING = [
    Reach("POST", "/threads/{thread_id}/runs/{run_id}/cancel"),
    Reach("POST", "/threads/{thread_id}/runs/{run_id}/cancel", query={"action": "rollback"}),
    Reach("POST", "/runs/cancel", {"thread_id": "{thread_id}", "run_ids": ["{run_id}"]}),
    Reach("POST", "/runs/cancel", {"thread_id": "{thread_id}", "status": "all"}),
    Reach("DELETE", "/threads/{thread_id}/runs/{run_id}"),
]
"""What stops a run that is under way."""


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Each method and path that the application serves; what is refused by name reaches nobody's things."""
    refused = {(method, route.path) for route in refusals(ROUTERS) for method in route.methods or ()}
    contexts = list(iter_route_contexts(app.routes))
    assert all(context.path and context.methods for context in contexts), "a route that this test cannot read"
    found = {(method, str(context.path)) for context in contexts for method in context.methods or ()}
    return {(method, path) for method, path in found - refused if method != "HEAD"}


def ask(client: httpx.Client, reach: Reach, names: dict[str, str]) -> tuple[int, str]:
    """The status and the text of an answer, without the ids that were asked for."""
    body = None if reach.body is None else json.dumps(reach.body)
    for key, name in names.items():
        body = body and body.replace(f"{{{key}}}", name)
    headers = {"content-type": "application/json"} if body else {}
    path = reach.path.format(**names)
    response = client.request(reach.method, path, content=body, params=reach.query, headers=headers)
    text = response.text
    for name in names.values():
        text = text.replace(name, "ID")
    return response.status_code, text


@pytest.fixture
def app(server: "Server") -> FastAPI:
    """The application that the server serves."""
    return create_app(server.services)


@pytest.fixture
def owned(api: httpx.Client, thread_id: str) -> Iterator[dict[str, str]]:
    """The ids of a thread with a finished run, and of an assistant; the caller of `api` owns them."""
    wait(api, thread_id, input={"n": 1})
    run_id = read(api, f"/threads/{thread_id}/runs")[0]["run_id"]
    assistant_id = api.post("/assistants", json={"graph_id": "subgraph"}).json()["assistant_id"]
    cron = api.post(f"/threads/{thread_id}/runs/crons", json={"assistant_id": "log", "schedule": "0 0 1 1 *"}).json()
    yield {
        "thread_id": thread_id,
        "run_id": run_id,
        "checkpoint_id": state_of(api, thread_id)["checkpoint_id"],
        "assistant_id": assistant_id,
        "namespace": "child",
        "cron_id": cron["cron_id"],
    }
    api.delete(f"/assistants/{assistant_id}")


def test_every_route_is_covered_here(app: FastAPI) -> None:
    covered = {(reach.method, reach.path) for reach in [*OWNED, *STOPPING, *OPEN]} | NOBODYS
    assert routes_of(app) - covered == set()


def test_the_covered_routes_exist(app: FastAPI) -> None:
    assert {(reach.method, reach.path) for reach in [*OWNED, *STOPPING, *OPEN]} - routes_of(app) == set()


@pytest.mark.parametrize("reach", OWNED, ids=lambda reach: f"{reach.method} {reach.path}")
def test_another_tenants_thing_answers_as_if_it_were_not_there(
    reach: Reach, api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str], seen: Seen
) -> None:
    before = seen(owned["thread_id"])
    assistant = read(api, f"/assistants/{owned['assistant_id']}")

    status, text = ask(other_tenant, reach, owned)

    assert status == 404, text
    nobodys = {"thread_id": UNKNOWN, "assistant_id": UNKNOWN, "cron_id": UNKNOWN}
    assert (status, text) == ask(other_tenant, reach, {**owned, **nobodys})
    assert seen(owned["thread_id"]) == before
    assert read(api, f"/assistants/{owned['assistant_id']}") == assistant
    # The owner is not refused, so the refusal above is about who asks.
    assert ask(api, reach, owned)[0] in {200, 204}


@pytest.mark.parametrize("reach", OPEN, ids=lambda reach: f"{reach.method} {reach.path}")
def test_another_tenants_thread_cannot_be_listened_to(
    reach: Reach, api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str]
) -> None:
    status, text = ask(other_tenant, reach, owned)
    assert status == 404, text
    assert (status, text) == ask(other_tenant, reach, {**owned, "thread_id": UNKNOWN})
    # The owner is not refused, so the refusal above is about who asks.
    with api.stream(reach.method, reach.path.format(**owned), json=reach.body) as response:
        assert response.status_code == 200


def test_a_command_on_another_tenants_thread_starts_a_run_on_ones_own(
    other_tenant: httpx.Client, owned: dict[str, str], seen: Seen
) -> None:
    before = seen(owned["thread_id"])
    body = {"id": 1, "method": "run.start", "params": {"assistant_id": "log", "input": {"n": 1, "name": "theirs"}}}
    assert other_tenant.post(f"/threads/{owned['thread_id']}/commands", json=body).json()["type"] == "success"
    until(lambda: read(other_tenant, f"/threads/{owned['thread_id']}")["status"] == "idle", "their run ends")
    assert state_of(other_tenant, owned["thread_id"])["values"]["entries"] == ["theirs-0"]
    assert seen(owned["thread_id"]) == before


@pytest.mark.parametrize(
    "reach", STOPPING, ids=lambda reach: f"{reach.method} {reach.path} {reach.body or reach.query}"
)
def test_another_tenant_cannot_stop_a_run(
    reach: Reach, api: httpx.Client, other_tenant: httpx.Client, thread_id: str
) -> None:
    with busy(api, thread_id, entries=20):
        until(lambda: last_run(api, thread_id)["status"] == "running", "the run starts")
        run_id = last_run(api, thread_id)["run_id"]
        names = {"thread_id": thread_id, "run_id": run_id}

        status, text = ask(other_tenant, reach, names)

        assert status == 404, text
        assert (status, text) == ask(other_tenant, reach, {**names, "thread_id": UNKNOWN})
        assert last_run(api, thread_id)["status"] == "running"
        # The owner is not refused, so the refusal above is about who asks.
        assert ask(api, reach, names)[0] in {200, 202, 204}
    assert len((state_of(api, thread_id)["values"] or {}).get("entries", [])) < 20


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


def test_a_search_finds_nothing_of_another_tenants(
    api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str]
) -> None:
    for body in ({"ids": [owned["thread_id"]]}, {"ids": [owned["thread_id"]], "values": {"n": 1}}):
        assert other_tenant.post("/threads/search", json=body).json() == []
        assert [one["thread_id"] for one in api.post("/threads/search", json=body).json()] == [owned["thread_id"]]
    rows = other_tenant.post("/threads/search", json={"limit": 1000, "select": ["thread_id"]}).json()
    assert owned["thread_id"] not in {row["thread_id"] for row in rows}


def test_a_count_counts_nothing_of_another_tenants(
    api: httpx.Client, other_tenant: httpx.Client, owned: dict[str, str]
) -> None:
    mark = {"metadata": {"mark": owned["thread_id"]}}
    api.patch(f"/threads/{owned['thread_id']}", json=mark).raise_for_status()
    assert api.post("/threads/count", json=mark).json() == 1
    assert other_tenant.post("/threads/count", json=mark).json() == 0


def test_another_tenants_thread_cannot_be_copied(other_tenant: httpx.Client, owned: dict[str, str], seen: Seen) -> None:
    before = seen(owned["thread_id"])
    answers = {other_tenant.post(f"/threads/{one}/copy").text for one in (owned["thread_id"], UNKNOWN)}
    assert answers == {'{"detail":"Conflict"}'}
    assert seen(owned["thread_id"]) == before


@pytest.mark.parametrize("strategy", ["delete", "keep_latest"])
def test_another_tenants_thread_cannot_be_pruned(
    strategy: str, other_tenant: httpx.Client, owned: dict[str, str], seen: Seen
) -> None:
    before = seen(owned["thread_id"])
    body = {"thread_ids": [owned["thread_id"], UNKNOWN], "strategy": strategy}
    assert other_tenant.post("/threads/prune", json=body).json() == {"pruned_count": 0}
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
