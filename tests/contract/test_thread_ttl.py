"""How long threads are kept: what callers may say, and what they are shown."""

from datetime import datetime, timedelta

import httpx
import pytest

from tests.contract.calls import Json, read, wait


def ttl_of(api: httpx.Client, thread_id: str) -> Json | None:
    """What a thread that is asked for with its ttl shows."""
    ttl: Json | None = read(api, f"/threads/{thread_id}?include=ttl").get("ttl")
    return ttl


def created(api: httpx.Client, ttl: object) -> str:
    thread_id: str = api.post("/threads", json={"ttl": ttl}).raise_for_status().json()["thread_id"]
    return thread_id


def test_a_thread_shows_its_ttl_to_those_who_ask(api: httpx.Client) -> None:
    thread_id = created(api, {"strategy": "delete", "ttl": 10})
    thread = read(api, f"/threads/{thread_id}")
    assert "ttl" not in thread
    ttl = ttl_of(api, thread_id)
    assert ttl is not None
    due = datetime.fromisoformat(thread["created_at"]) + timedelta(minutes=10)
    assert abs(datetime.fromisoformat(ttl.pop("expires_at")) - due) < timedelta(seconds=1)
    assert ttl == {"strategy": "delete", "ttl_minutes": 10}


def test_a_thread_is_kept_for_ever_unless_somebody_says_otherwise(api: httpx.Client, thread_id: str) -> None:
    assert ttl_of(api, thread_id) is None
    assert ttl_of(api, created(api, {})) is None


def test_patch_sets_another_ttl(api: httpx.Client, thread_id: str) -> None:
    body = {"ttl": {"ttl": 0.5, "strategy": "keep_latest"}, "metadata": {"k": "v"}}
    assert api.patch(f"/threads/{thread_id}", json=body).json()["metadata"] == {"k": "v"}
    ttl = ttl_of(api, thread_id)
    assert ttl is not None
    assert (ttl["strategy"], ttl["ttl_minutes"]) == ("keep_latest", 0.5)


def test_a_run_begins_the_time_anew(api: httpx.Client) -> None:
    thread_id = created(api, {"ttl": 10})
    before = ttl_of(api, thread_id)
    wait(api, thread_id, input={"n": 1})
    after = ttl_of(api, thread_id)
    assert before is not None
    assert after is not None
    assert after["expires_at"] > before["expires_at"]


def test_a_thread_that_is_over_is_not_there(api: httpx.Client) -> None:
    thread_id = created(api, {"ttl": 0.00001})
    assert api.get(f"/threads/{thread_id}").status_code == 404
    assert api.post(f"/threads/{thread_id}/runs/wait", json={"assistant_id": "log"}).status_code == 404
    assert api.post("/threads/search", json={"ids": [thread_id]}).json() == []
    api.post("/threads", json={"thread_id": thread_id}).raise_for_status()
    assert api.get(f"/threads/{thread_id}").status_code == 200


@pytest.mark.parametrize("ttl", [{"strategy": "delete"}, {"strategy": "keep_latest", "ttl": None}], ids=str)
def test_a_strategy_without_minutes_is_refused(ttl: Json, api: httpx.Client, thread_id: str) -> None:
    for refused in (
        api.post("/threads", json={"ttl": ttl}),
        api.patch(f"/threads/{thread_id}", json={"ttl": ttl, "metadata": {"k": "v"}}),
    ):
        assert refused.status_code == 422
        assert "minutes" in refused.json()["detail"]
    assert "k" not in read(api, f"/threads/{thread_id}")["metadata"]


@pytest.mark.parametrize(
    "ttl", [5, None, "x", {"ttl": "x"}, {"ttl": -1}, {"ttl": 0}, {"ttl": 10, "strategy": "x"}, {"ttl": 1e12}], ids=str
)
def test_a_ttl_that_says_nothing_sensible_is_refused(ttl: object, api: httpx.Client, thread_id: str) -> None:
    if ttl is not None:
        assert api.post("/threads", json={"ttl": ttl}).status_code == 422
        assert api.patch(f"/threads/{thread_id}", json={"ttl": ttl}).status_code == 422
