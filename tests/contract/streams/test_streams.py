"""Streams as the reference server sends them, and what is ours: ids, resumption, what is kept."""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.calls import Json, last_run, read, until
from tests.contract.streams.recorded import HI, RECORDED, SCENARIOS, Sent, events_of, normalised, stream

EXPECTED: dict[str, list[str]] = json.loads(RECORDED.read_text(encoding="utf-8"))


def names(events: list[Sent]) -> list[str]:
    """The names of events."""
    return [one.event for one in events]


def post(api: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    """POST a run of the graph."""
    return api.post(path, json={"assistant_id": "talk", "input": HI, **fields})


def joined(api: httpx.Client, run: Json, last: str | None = None, **params: Any) -> list[Sent]:
    """The events that a run's stream has for whoever joins it."""
    headers = {"Last-Event-ID": last} if last is not None else {}
    answer = api.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}/stream", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(events_of(answer.text))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_events_are_those_of_the_reference(api: httpx.Client, name: str) -> None:
    assert normalised(stream(api, **SCENARIOS[name])) == EXPECTED[name]


def test_the_answer_says_where_it_goes_on(api: httpx.Client, thread_id: str) -> None:
    answer = post(api, f"/threads/{thread_id}/runs/stream")
    run_id = last_run(api, thread_id)["run_id"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-location"] == f"/threads/{thread_id}/runs/{run_id}"
    location = answer.headers["location"].partition("?")[0]
    assert location == f"/threads/{thread_id}/runs/{run_id}/stream"


def test_ids_grow_from_event_to_event(api: httpx.Client) -> None:
    ids = [
        tuple(int(part) for part in (one.id or "").split("-")) for one in stream(api, stream_mode=["values", "tasks"])
    ]
    assert len(ids) > 5
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("path", ["/threads/{thread_id}/runs/wait", "/runs/wait"])
def test_a_wait_with_stream_true_answers_with_the_events(api: httpx.Client, thread_id: str, path: str) -> None:
    answer = post(api, path.format(thread_id=thread_id), stream=True, stream_mode="updates")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert names(list(events_of(answer.text))) == ["metadata", "updates", "updates", "updates"]


def test_a_stateless_run_streams_and_leaves_no_thread(api: httpx.Client) -> None:
    answer = post(api, "/runs/stream", stream_mode="custom")
    assert normalised(list(events_of(answer.text)))[1:] == EXPECTED["custom"][1:]
    (thread_id,) = re.findall("/threads/([^/]+)/", answer.headers["content-location"])
    assert api.get(f"/threads/{thread_id}").status_code == 404


def test_a_stateless_run_that_keeps_its_thread_can_be_read_after_it(api: httpx.Client) -> None:
    answer = post(api, "/runs/stream", on_completion="keep")
    assert read(api, answer.headers["content-location"])["status"] == "success"


@pytest.mark.parametrize("path", ["/threads/{unknown}/runs/stream", "/threads/{unknown}/runs/{unknown}/stream"])
def test_what_is_not_there_is_not_found(api: httpx.Client, path: str) -> None:
    path = path.format(unknown=uuid.uuid4())
    answer = post(api, path) if path.endswith("runs/stream") else api.get(path)
    assert answer.status_code == 404


def test_a_stream_of_another_tenant_is_not_found(api: httpx.Client, other_tenant: httpx.Client, thread_id: str) -> None:
    post(api, f"/threads/{thread_id}/runs/stream", stream_resumable=True)
    run = last_run(api, thread_id)
    path = f"/threads/{thread_id}/runs/{run['run_id']}/stream"
    assert other_tenant.get(path, headers={"Last-Event-ID": "-1"}).status_code == 404
    assert post(other_tenant, f"/threads/{thread_id}/runs/stream").status_code == 404


def test_an_unknown_mode_is_refused_by_name(api: httpx.Client, thread_id: str) -> None:
    assert post(api, f"/threads/{thread_id}/runs/stream", stream_mode="nope").status_code == 422
    post(api, f"/threads/{thread_id}/runs/stream")
    run_id = last_run(api, thread_id)["run_id"]
    answer = api.get(f"/threads/{thread_id}/runs/{run_id}/stream", params={"stream_mode": "nope"})
    assert (answer.status_code, "nope" in answer.text) == (422, True)


def test_a_resumable_stream_is_read_again_after_its_end_from_any_event(api: httpx.Client, thread_id: str) -> None:
    modes = ["values", "updates"]
    first = list(
        events_of(post(api, f"/threads/{thread_id}/runs/stream", stream_mode=modes, stream_resumable=True).text)
    )
    run = last_run(api, thread_id)
    assert joined(api, run, "-1") == first
    for place, event in enumerate(first):
        assert joined(api, run, event.id) == first[place + 1 :]
    assert joined(api, run) == []
    assert names(joined(api, run, "-1", stream_mode="updates")) == ["updates"] * 3


def test_a_stream_that_was_followed_to_its_end_is_not_kept(api: httpx.Client, thread_id: str) -> None:
    post(api, f"/threads/{thread_id}/runs/stream")
    assert joined(api, last_run(api, thread_id), "-1") == []


def test_a_failure_is_told_to_whoever_joins_after_it(api: httpx.Client, thread_id: str) -> None:
    post(api, f"/threads/{thread_id}/runs", input={**HI, "fail": True})
    until(lambda: bool(last_run(api, thread_id)["status"] == "error"), "the run has failed")
    (error,) = joined(api, last_run(api, thread_id))
    assert (error.event, error.data) == ("error", {"error": "ValueError", "message": "lost for words"})


def test_a_background_run_is_followed_from_when_it_is_joined(api: httpx.Client, thread_id: str) -> None:
    run = post(
        api, f"/threads/{thread_id}/runs", input={**HI, "seconds": 1.0}, stream_mode=["updates", "values"]
    ).json()
    until(lambda: bool(last_run(api, thread_id)["status"] == "running"), "the run has begun")
    events = joined(api, run, stream_mode=["updates"])
    assert [list(one.data) for one in events] == [["speak"], ["child"], ["close"]]


def test_a_run_that_waits_its_turn_is_streamed_when_it_has_come(api: httpx.Client, thread_id: str) -> None:
    post(api, f"/threads/{thread_id}/runs", input={**HI, "seconds": 1.0})
    events = list(events_of(post(api, f"/threads/{thread_id}/runs/stream", stream_mode="updates").text))
    assert names(events) == ["metadata", "updates", "updates", "updates"]


def test_a_cancelled_run_ends_its_stream_without_an_error(api: httpx.Client, thread_id: str) -> None:
    with following(api, thread_id, input={**HI, "seconds": 30}) as events:
        until(lambda: len(events) == 2, "the first events are there")
        run = last_run(api, thread_id)
        assert api.post(f"/threads/{thread_id}/runs/{run['run_id']}/cancel?wait=true").status_code == 200
    assert names(events) == ["metadata", "values"]


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
def test_a_superseded_run_ends_its_stream_without_an_error(api: httpx.Client, thread_id: str, strategy: str) -> None:
    with following(api, thread_id, input={**HI, "seconds": 30}) as events:
        until(lambda: len(events) == 2, "the first events are there")
        answer = post(api, f"/threads/{thread_id}/runs/wait", input={**HI, "seconds": 0}, multitask_strategy=strategy)
        assert answer.status_code == 200
    assert names(events) == ["metadata", "values"]


@contextmanager
def following(api: httpx.Client, thread_id: str, **fields: Any) -> Iterator[list[Sent]]:
    """The events of a run as they come, read to their end."""
    events: list[Sent] = []

    def follow() -> None:
        body = {"assistant_id": "talk", **fields}
        with api.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
            for text in response.iter_text():
                events.extend(events_of(text))

    thread = threading.Thread(target=follow)
    thread.start()
    yield events
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize(("on_disconnect", "status"), [("cancel", "interrupted"), ("continue", "success")])
def test_what_becomes_of_a_run_whose_follower_hangs_up(
    api: httpx.Client, thread_id: str, tmp_path: Path, on_disconnect: str, status: str
) -> None:
    gate = tmp_path / "gate"
    body = {"assistant_id": "log", "input": {"n": 2, "until": str(gate)}, "on_disconnect": on_disconnect}
    with api.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        first = next(events_of(next(response.iter_text())))
    if on_disconnect == "continue":
        gate.touch()
    until(lambda: bool(last_run(api, thread_id)["status"] == status), f"the run is {status}")
    gate.touch()
    if on_disconnect == "continue":
        later = joined(api, last_run(api, thread_id), first.id)
        assert later[-1].data["entries"] == ["e-0", "e-1"]
        assert [one.event for one in later] == ["values"] * 4


def test_a_run_that_has_asked_keeps_its_question_when_its_follower_hangs_up(
    api: httpx.Client, thread_id: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    body = {"assistant_id": "pair", "input": {"until": str(gate)}, "stream_mode": "updates"}
    with api.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        next(text for text in response.iter_text() if "__interrupt__" in text)
    gate.touch()
    until(lambda: bool(last_run(api, thread_id)["status"] == "success"), "the run ends where it has asked")
    (asked,) = api.get(f"/threads/{thread_id}").json()["interrupts"].values()
    assert [one["value"] for one in asked] == ["left?"]
