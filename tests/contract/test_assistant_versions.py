"""Assistants of one's own: created, changed version by version, searched, described, deleted, and run."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from handler.domain.models import system_assistant_id
from tests.contract.calls import UNKNOWN, Json, read, wait

if TYPE_CHECKING:
    from tests.conftest import Server

CUSTOM = system_assistant_id("custom")


@pytest.fixture
def own(server: "Server") -> Iterator[httpx.Client]:
    """A client of a tenant that nobody else is, so that its assistants can be counted."""
    with server.client(f"tenant-{uuid.uuid4().hex}") as client:
        yield client


def create(client: httpx.Client, graph_id: str = "custom", **fields: Any) -> Json:
    """A new assistant."""
    response = client.post("/assistants", json={"graph_id": graph_id, **fields})
    assert response.status_code == 200, response.text
    created: Json = response.json()
    return created


def patch(client: httpx.Client, assistant_id: str, **fields: Any) -> Json:
    """A changed assistant."""
    response = client.patch(f"/assistants/{assistant_id}", json=fields)
    assert response.status_code == 200, response.text
    changed: Json = response.json()
    return changed


def versions(client: httpx.Client, assistant_id: str, **fields: Any) -> list[Json]:
    """The versions of an assistant."""
    response = client.post(f"/assistants/{assistant_id}/versions", json=fields)
    assert response.status_code == 200, response.text
    found: list[Json] = response.json()
    return found


def without_times(assistant: Json) -> Json:
    """What does not change from run to run."""
    return {name: value for name, value in assistant.items() if name not in ("created_at", "updated_at")}


def test_a_new_assistant_has_what_it_was_given(own: httpx.Client) -> None:
    created = create(own, name="mine", description="d", metadata={"k": 1}, config={"tags": ["t"], "extra": {"x": 1}})
    assert without_times(created) == {
        "assistant_id": created["assistant_id"],
        "graph_id": "custom",
        "config": {"tags": ["t"], "extra": {"x": 1}},
        "context": {},
        "metadata": {"k": 1},
        "name": "mine",
        "version": 1,
        "description": "d",
    }
    assert read(own, f"/assistants/{created['assistant_id']}") == created
    assert created["created_at"] == created["updated_at"]


def test_what_is_not_given_is_empty_and_the_name_is_untitled(own: httpx.Client) -> None:
    created = create(own, name="", metadata={"assistant_id": "x", "graph_id": "y"})
    expected = {"config": {}, "context": {}, "metadata": {"graph_id": "y"}, "name": "Untitled", "description": None}
    assert {name: created[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "config", "context"),
    [
        ({"context": {"a": 1}}, {"configurable": {"a": 1}}, {"a": 1}),
        ({"config": {"configurable": {"a": 1}, "tags": ["t"]}}, {"configurable": {"a": 1}, "tags": ["t"]}, {"a": 1}),
        ({"config": {"configurable": {}}, "context": {}}, {"configurable": {}}, {}),
    ],
    ids=["context", "configurable", "both empty"],
)
def test_configurable_and_context_are_kept_equal(given: Json, config: Json, context: Json, own: httpx.Client) -> None:
    created = create(own, **given)
    assert (created["config"], created["context"]) == (config, context)
    changed = patch(own, create(own)["assistant_id"], **given)
    assert (changed["config"], changed["context"]) == (config, context)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"graph_id": None}, 422),
        ({"graph_id": "nope"}, 404),
        ({"graph_id": "log", "assistant_id": "x"}, 422),
        ({"graph_id": "log", "if_exists": "bad"}, 422),
        ({"graph_id": "log", "config": None}, 422),
        ({"graph_id": "log", "metadata": None}, 422),
        ({"graph_id": "log", "name": None}, 422),
        ({"graph_id": "log", "config": {"recursion_limit": "x"}}, 422),
        ({"graph_id": "log", "context": {"a": 1}, "config": {"configurable": {"b": 2}}}, 400),
    ],
    ids=str,
)
def test_a_body_that_is_wrong_creates_nothing(body: Json, status: int, own: httpx.Client) -> None:
    response = own.post("/assistants", json=body)
    assert response.status_code == status, response.text
    assert own.post("/assistants/count", json={}).json() == 7


def test_an_id_is_given_once(own: httpx.Client) -> None:
    assistant_id = str(uuid.uuid4())
    created = create(own, assistant_id=assistant_id.upper(), name="first")
    assert created["assistant_id"] == assistant_id
    again = own.post("/assistants", json={"graph_id": "log", "assistant_id": assistant_id})
    assert again.status_code == 409
    assert again.json() == {"detail": f"Assistant {assistant_id} already exists"}
    assert create(own, assistant_id=assistant_id, name="second", if_exists="do_nothing") == created


def test_a_patch_makes_a_version_and_merges_metadata(own: httpx.Client) -> None:
    first = create(own, metadata={"k": 1, "n": {"a": 1}}, config={"configurable": {"x": 1}, "tags": ["t"]})
    changed = patch(own, first["assistant_id"], metadata={"j": 2, "n": {"b": 1}})
    assert changed["metadata"] == {"k": 1, "j": 2, "n": {"b": 1}}
    assert (changed["version"], changed["created_at"]) == (2, first["created_at"])
    assert changed["updated_at"] > first["updated_at"]
    assert (changed["config"], changed["context"]) == (first["config"], first["context"])
    renamed = patch(own, first["assistant_id"], name="new", description="d", graph_id="human")
    assert (renamed["name"], renamed["description"], renamed["graph_id"], renamed["version"]) == (
        "new",
        "d",
        "human",
        3,
    )
    assert patch(own, first["assistant_id"])["version"] == 4


def test_what_a_patch_names_is_replaced_whole(own: httpx.Client) -> None:
    assistant_id = create(own, config={"configurable": {"x": 1}, "tags": ["t"]})["assistant_id"]
    assert patch(own, assistant_id, config={})["config"] == {"configurable": {"x": 1}, "tags": ["t"]}
    assert patch(own, assistant_id, context={"y": 2})["config"] == {"configurable": {"y": 2}}
    assert patch(own, assistant_id, config={"tags": ["u"]})["config"] == {"tags": ["u"]}
    assert patch(own, assistant_id, context={})["context"] == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"graph_id": "nope"}, 404),
        ({"name": None}, 422),
        ({"metadata": None}, 422),
        ({"context": {"a": 1}, "config": {"configurable": {"b": 1}}}, 400),
    ],
    ids=str,
)
def test_a_patch_that_is_wrong_changes_nothing(body: Json, status: int, own: httpx.Client) -> None:
    created = create(own)
    response = own.patch(f"/assistants/{created['assistant_id']}", json=body)
    assert response.status_code == status, response.text
    assert read(own, f"/assistants/{created['assistant_id']}") == created


def test_patches_at_once_lose_nothing(own: httpx.Client) -> None:
    assistant_id = create(own)["assistant_id"]
    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(lambda n: patch(own, assistant_id, metadata={f"k{n}": n}), range(12)))
    assert sorted(one["version"] for one in changed) == list(range(2, 14))
    assert read(own, f"/assistants/{assistant_id}")["metadata"] == {f"k{n}": n for n in range(12)}
    assert len(versions(own, assistant_id, limit=100)) == 13


def test_versions_are_listed_newest_first_in_pages_and_by_metadata(own: httpx.Client) -> None:
    assistant_id = create(own, name="one")["assistant_id"]
    for number in (2, 3, 4):
        patch(own, assistant_id, metadata={"n": number, "even": number % 2 == 0})
    assert [one["version"] for one in versions(own, assistant_id)] == [4, 3, 2, 1]
    assert [one["version"] for one in versions(own, assistant_id, limit=2, offset=1)] == [3, 2]
    assert [one["version"] for one in versions(own, assistant_id, metadata={"even": True})] == [4, 2]
    newest, *_ = versions(own, assistant_id, limit=1)
    assistant = read(own, f"/assistants/{assistant_id}")
    assert newest == {
        **{name: value for name, value in assistant.items() if name != "updated_at"},
        "created_at": assistant["updated_at"],
    }
    beyond = own.post(f"/assistants/{assistant_id}/versions", json={"offset": 50})
    assert beyond.status_code == 404


def test_an_earlier_version_is_put_in_force_and_the_next_patch_builds_on_it(own: httpx.Client) -> None:
    first = create(own, name="one", context={"a": 1}, metadata={"v": 1})
    assistant_id = first["assistant_id"]
    patch(own, assistant_id, name="two", graph_id="human", context={"a": 2}, metadata={"v": 2})
    latest = own.post(f"/assistants/{assistant_id}/latest", json={"version": 1}).json()
    assert without_times(latest) == without_times(first)
    assert latest["created_at"] == first["created_at"]
    assert latest["updated_at"] > first["updated_at"]
    assert read(own, f"/assistants/{assistant_id}") == latest
    following = patch(own, assistant_id, metadata={"after": True})
    assert (following["version"], following["name"]) == (3, "one")
    assert following["metadata"] == {"v": 1, "after": True}


@pytest.mark.parametrize(("body", "status"), [({"version": 99}, 404), ({}, 422), ({"version": "1"}, 422)], ids=str)
def test_a_version_that_there_is_not_is_not_put_in_force(body: Json, status: int, own: httpx.Client) -> None:
    created = create(own)
    response = own.post(f"/assistants/{created['assistant_id']}/latest", json=body)
    assert response.status_code == status, response.text
    assert read(own, f"/assistants/{created['assistant_id']}") == created


def test_a_deleted_assistant_is_gone_with_its_versions(own: httpx.Client) -> None:
    assistant_id = create(own)["assistant_id"]
    patch(own, assistant_id, name="two")
    assert own.delete(f"/assistants/{assistant_id}").status_code == 204
    assert own.get(f"/assistants/{assistant_id}").status_code == 404
    assert own.post(f"/assistants/{assistant_id}/versions", json={}).status_code == 404
    assert own.delete(f"/assistants/{assistant_id}").status_code == 404
    anew = create(own, assistant_id=assistant_id)
    assert [one["version"] for one in versions(own, assistant_id)] == [1]
    assert anew["version"] == 1


def test_an_assistant_is_deleted_with_the_threads_that_ran_it_last(own: httpx.Client) -> None:
    assistant_id, other = (create(own, "log")["assistant_id"] for _ in range(2))
    threads = []
    for runs in ([assistant_id], [other], [assistant_id, other], [other, assistant_id]):
        thread_id = own.post("/threads", json={}).json()["thread_id"]
        for one in runs:
            wait(own, thread_id, one, input={"n": 1})
        threads.append(thread_id)
    assert own.delete(f"/assistants/{other}?delete_threads=false").status_code == 204
    assert own.delete(f"/assistants/{assistant_id}?delete_threads=true").status_code == 204
    assert [own.get(f"/threads/{thread_id}").status_code for thread_id in threads] == [404, 200, 200, 404]
    assert own.delete(f"/assistants/{CUSTOM}?delete_threads=true").status_code == 409
    assert own.delete(f"/assistants/{other}?delete_threads=true").status_code == 404
    assert own.get(f"/threads/{threads[1]}").status_code == 200


def test_an_assistant_is_deleted_with_its_crons(own: httpx.Client) -> None:
    assistant_id, other = (create(own, "log")["assistant_id"] for _ in range(2))
    for one in (assistant_id, other, assistant_id):
        body = {"assistant_id": one, "schedule": "0 0 1 1 *", "input": {"n": 1}}
        assert own.post("/runs/crons", json=body).status_code == 200
    assert own.delete(f"/assistants/{assistant_id}").status_code == 204
    left = own.post("/runs/crons/search", json={}).json()
    assert [cron["assistant_id"] for cron in left] == [other]


def test_a_system_assistant_cannot_be_changed_or_deleted(own: httpx.Client) -> None:
    before = read(own, f"/assistants/{CUSTOM}")
    answers = [
        own.patch(f"/assistants/{CUSTOM}", json={"name": "mine"}),
        own.delete(f"/assistants/{CUSTOM}"),
        own.post("/assistants", json={"graph_id": "custom", "assistant_id": CUSTOM}),
    ]
    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert "create an assistant of that graph" in answers[0].json()["detail"]
    assert create(own, assistant_id=CUSTOM, if_exists="do_nothing") == before
    assert [one["version"] for one in versions(own, CUSTOM)] == [1]
    assert own.post(f"/assistants/{CUSTOM}/latest", json={"version": 1}).json() == before
    assert own.post(f"/assistants/{CUSTOM}/latest", json={"version": 2}).status_code == 404


def test_a_count_filters_as_a_search_does(own: httpx.Client) -> None:
    create(own, name="Alpha", metadata={"team": {"a": 1, "b": 2}})
    create(own, "log", name="Beta", metadata={"tags": ["x", "y"]})
    filters: list[tuple[Json, int]] = [
        ({}, 9),
        ({"graph_id": "custom"}, 2),
        ({"name": "alp"}, 1),
        ({"metadata": {"team": {"a": 1}}}, 1),
        ({"metadata": {"tags": ["y"]}}, 1),
        ({"metadata": {"team": {"a": True}}}, 0),
        ({"metadata": {"created_by": "system"}}, 7),
    ]
    for body, expected in filters:
        assert own.post("/assistants/count", json=body).json() == expected, body
        assert len(own.post("/assistants/search", json={**body, "limit": 100}).json()) == expected, body
    assert own.post("/assistants/count", json={"graph_id": "nope"}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/versions", {}),
        ("POST", "/latest", {"version": 1}),
        ("GET", "/graph", None),
        ("GET", "/schemas", None),
        ("GET", "/subgraphs", None),
    ],
)
def test_an_assistant_that_nobody_has_is_not_there(
    method: str, path: str, body: Json | None, own: httpx.Client
) -> None:
    for assistant_id, status in ((UNKNOWN, 404), ("abc", 422)):
        response = own.request(method, f"/assistants/{assistant_id}{path}", json=body)
        assert response.status_code == status, response.text


def test_a_graph_is_drawn_by_name_or_id(own: httpx.Client) -> None:
    by_name = read(own, "/assistants/subgraph/graph")
    assert by_name == read(own, f"/assistants/{system_assistant_id('subgraph')}/graph")
    assert by_name == read(own, f"/assistants/{create(own, 'subgraph')['assistant_id']}/graph")
    assert [node["id"] for node in by_name["nodes"]] == ["__start__", "outer", "child", "__end__"]
    assert by_name["nodes"][1] == {"id": "outer", "type": "runnable", "data": {"name": "outer"}}
    assert {"source": "outer", "target": "child"} in by_name["edges"]


@pytest.mark.parametrize("xray", ["true", "True", "1"])
def test_a_drawing_shows_what_is_in_a_subgraph(xray: str, own: httpx.Client) -> None:
    drawn = read(own, f"/assistants/subgraph/graph?xray={xray}")
    assert {"child:inner_one", "child:inner_two"} <= {node["id"] for node in drawn["nodes"]}


@pytest.mark.parametrize("xray", ["0", "-1", "x", "1.5"])
def test_a_depth_that_is_none_is_refused(xray: str, own: httpx.Client) -> None:
    assert own.get(f"/assistants/subgraph/graph?xray={xray}").status_code == 422


def test_the_schemas_of_a_graph_are_told(own: httpx.Client) -> None:
    schemas = read(own, f"/assistants/{CUSTOM}/schemas")
    assert set(schemas) == {
        "graph_id",
        "input_schema",
        "output_schema",
        "state_schema",
        "config_schema",
        "context_schema",
    }
    assert schemas["graph_id"] == "custom"
    assert set(schemas["context_schema"]["properties"]) == {"user_name", "tone"}
    assert schemas["config_schema"] == schemas["context_schema"]
    assert schemas["state_schema"]["title"] == "custom_state"
    assert schemas["state_schema"]["properties"]["text"] == {"default": None, "title": "Text", "type": "string"}
    assert own.get("/assistants/custom/schemas").status_code == 422


def test_the_schemas_of_subgraphs_are_told(own: httpx.Client) -> None:
    assistant_id = system_assistant_id("subgraph")
    subgraphs = read(own, f"/assistants/{assistant_id}/subgraphs")
    assert list(subgraphs) == ["child"]
    assert set(subgraphs["child"]["state_schema"]["properties"]) == {"topic", "notes", "ask"}
    assert read(own, f"/assistants/{assistant_id}/subgraphs/child") == subgraphs
    assert read(own, f"/assistants/{assistant_id}/subgraphs/nope") == {}
    assert read(own, f"/assistants/{assistant_id}/subgraphs?recurse=true") == subgraphs


def test_a_run_uses_what_its_assistant_is_configured_to(own: httpx.Client) -> None:
    assistant = create(
        own, context={"user_name": "ann", "tone": "formal"}, metadata={"team": "a", "which": "assistant's"}
    )
    thread_id = own.post("/threads", json={}).json()["thread_id"]
    answer = wait(own, thread_id, assistant["assistant_id"], input={"text": "hi"}, metadata={"which": "run's"})
    assert answer["greeting"] == "formal:ann"
    run = read(own, f"/threads/{thread_id}/runs")[0]
    assert run["assistant_id"] == assistant["assistant_id"]
    assert {name: run["metadata"][name] for name in ("team", "which", "graph_id")} == {
        "team": "a",
        "which": "run's",
        "graph_id": "custom",
    }
    older = {"configurable": {"user_name": "eve"}}
    assert (
        wait(own, thread_id, assistant["assistant_id"], input={"text": "hi"}, config=older)["greeting"] == "formal:eve"
    )
    over = wait(own, thread_id, assistant["assistant_id"], input={"text": "hi"}, context={"user_name": "bob"})
    assert over["greeting"] == "formal:bob"
    assert read(own, f"/threads/{thread_id}")["metadata"]["assistant_id"] == assistant["assistant_id"]


def test_a_run_uses_the_version_that_is_in_force(own: httpx.Client) -> None:
    assistant_id = create(own, context={"user_name": "one"})["assistant_id"]
    patch(own, assistant_id, context={"user_name": "two"})
    thread_id = own.post("/threads", json={}).json()["thread_id"]
    assert "two" in wait(own, thread_id, assistant_id, input={"text": "hi"})["greeting"]
    own.post(f"/assistants/{assistant_id}/latest", json={"version": 1})
    assert "one" in wait(own, thread_id, assistant_id, input={"text": "hi"})["greeting"]


def test_a_run_of_another_tenants_assistant_is_refused(own: httpx.Client, other_tenant: httpx.Client) -> None:
    assistant_id = create(own)["assistant_id"]
    thread_id = other_tenant.post("/threads", json={}).json()["thread_id"]
    response = other_tenant.post(f"/threads/{thread_id}/runs/wait", json={"assistant_id": assistant_id, "input": {}})
    assert response.status_code == 404
