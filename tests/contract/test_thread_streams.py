"""The streams of whole threads on a real connection: their events, their filters, and where a reader goes on."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.calls import UNKNOWN, Json, busy, read, state_of, until, wait
from tests.contract.test_commands import done, waiting

ALL = ["values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"]
OVER = ("completed", "failed", "interrupted")

Sent = tuple[str, Json, str]
"""Name, data and id of an event."""


def start(api: httpx.Client, thread_id: str, assistant_id: str = "log", **params: Any) -> str:
    """Start a run; its id."""
    return str(done(api, thread_id, "run.start", {"assistant_id": assistant_id, **params})["run_id"])


def ended(api: httpx.Client, thread_id: str, run_id: str) -> Json:
    """The run, once it has ended."""
    path = f"/threads/{thread_id}/runs/{run_id}"
    until(lambda: read(api, path)["status"] not in ("pending", "running"), "the run ends")
    run: Json = read(api, path)
    return run


def sent(response: httpx.Response) -> Iterator[Sent]:
    """The events of an open stream."""
    fields: dict[str, str] = {}
    deadline = time.monotonic() + 30
    for line in response.iter_lines():
        assert time.monotonic() < deadline, "what was waited for never came"
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields["event"], json.loads(fields["data"]), fields["id"]
            fields = {}


def events(
    api: httpx.Client, thread_id: str, channels: list[str] | None = None, *, runs: int = 1, **more: Any
) -> list[Json]:
    """The protocol's events of a thread, until so many runs were told to be over."""
    body = {"channels": [*(channels or ALL), "lifecycle"], **more}
    found: list[Json] = []
    with api.stream("POST", f"/threads/{thread_id}/stream/events", json=body) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        for name, data, at in sent(response):
            assert (name, at) == (data["method"], str(data["seq"]))
            found.append(data)
            runs -= is_end(data)
            if not runs:
                break
    return found


def is_end(event: Json) -> bool:
    """Whether an event tells the end of a run, or that it stops for a human."""
    params = event["params"]
    return event["method"] == "lifecycle" and not params["namespace"] and params["data"]["event"] in OVER


def of_channel(found: list[Json], method: str) -> list[Any]:
    """The data of a channel's events of the root."""
    return [one["params"]["data"] for one in found if one["method"] == method and not one["params"]["namespace"]]


def told_of_runs(api: httpx.Client, thread_id: str, runs: int, *, after: str = "-", **query: str) -> list[Sent]:
    """The events of a thread's runs, until so many were told to be done."""
    headers = {"Last-Event-ID": after}
    found: list[Sent] = []
    with api.stream("GET", f"/threads/{thread_id}/stream", headers=headers, params=query) as response:
        assert response.status_code == 200, response.read()
        for one in sent(response):
            found.append(one)
            runs -= one[1].get("status") == "run_done"
            if not runs:
                break
    return found


def test_each_channel_tells_its_part_of_a_run(api: httpx.Client, thread_id: str) -> None:
    run_id = start(api, thread_id, "human", input={"question": "q"})
    found = events(api, thread_id)
    assert of_channel(found, "lifecycle") == [
        {"event": "running", "graph_name": "human"},
        {"event": "interrupted", "graph_name": "human"},
    ]
    assert of_channel(found, "values")[0] == {"question": "q"}
    (asked,) = of_channel(found, "input.requested")
    assert ended(api, thread_id, run_id)["status"] == "success"
    assert asked == {
        "interrupt_id": waiting(api, thread_id)[0],
        "payload": {"question": "q"},
        "value": {"question": "q"},
    }
    checkpoints = of_channel(found, "checkpoints")
    assert checkpoints[-1]["id"] == state_of(api, thread_id)["checkpoint_id"]
    assert checkpoints[-1]["parent_id"] == checkpoints[-2]["id"]

    done(api, thread_id, "input.respond", {"interrupt_id": asked["interrupt_id"], "response": "yes"})
    found = events(api, thread_id, runs=2)
    assert of_channel(found, "updates")[-2:] == [
        {"node": "ask", "values": {"answer": "yes"}},
        {"node": "finish", "values": {"done": True}},
    ]
    assert of_channel(found, "values")[-1] == {"question": "q", "answer": "yes", "done": True}
    assert [one["event"] for one in of_channel(found, "lifecycle")] == [
        "running",
        "interrupted",
        "running",
        "completed",
    ]


def test_a_failure_is_told_with_its_message(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, "fail", input={"kind": "ValueError"})
    last = events(api, thread_id)[-1]["params"]["data"]
    assert (last["event"], last["graph_name"]) == ("failed", "fail")
    assert last["error"] == ended_error(api, thread_id)


def ended_error(api: httpx.Client, thread_id: str) -> str:
    """The message of the error of a thread's last run."""
    return str(read(api, f"/threads/{thread_id}")["error"]["message"])


def test_only_the_channels_that_were_asked_for_are_sent(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, input={"n": 2})
    assert {one["method"] for one in events(api, thread_id, ["values"])} == {"values", "lifecycle"}
    assert {one["method"] for one in events(api, thread_id, ["lifecycle"])} == {"lifecycle"}


def test_namespaces_and_depth_bound_what_is_sent(api: httpx.Client, thread_id: str) -> None:
    run_id = start(api, thread_id, "subgraph", input={"topic": "t"})
    ended(api, thread_id, run_id)
    found = events(api, thread_id, ["values"])
    (child,) = {tuple(one["params"]["namespace"]) for one in found if one["params"]["namespace"]}
    assert [
        one["params"]["data"]["event"]
        for one in found
        if tuple(one["params"]["namespace"]) == child and one["method"] == "lifecycle"
    ] == ["started", "completed"]
    root = events(api, thread_id, ["values"], namespaces=[[]], depth=0)
    assert root == [one for one in found if not one["params"]["namespace"]]
    body = {"channels": ["values", "lifecycle"], "namespaces": [["child"]]}
    below = [one for one in found if one["params"]["namespace"]]
    with api.stream("POST", f"/threads/{thread_id}/stream/events", json=body) as response:
        assert [data for _, (_, data, _) in zip(below, sent(response), strict=False)] == below


def test_every_reading_finds_the_same_events_and_since_leaves_out_what_was_read(
    api: httpx.Client, thread_id: str
) -> None:
    for name in ("one", "two"):
        ended(api, thread_id, start(api, thread_id, input={"n": 2, "name": name}))
    found = events(api, thread_id, runs=2)
    assert events(api, thread_id, runs=2) == found
    seqs = [one["seq"] for one in found]
    assert seqs == sorted(set(seqs))
    assert len({one["event_id"] for one in found}) == len(found)
    for place in range(0, len(found) - 1, 5):
        left = sum(map(is_end, found[place + 1 :]))
        assert events(api, thread_id, runs=left, since=seqs[place]) == found[place + 1 :]


def test_a_run_of_other_origin_is_told_as_far_as_it_streams(api: httpx.Client, thread_id: str) -> None:
    body = {"assistant_id": "log", "input": {"n": 2}, "stream_mode": ["values", "custom"], "stream_resumable": True}
    with api.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        response.read()
    found = events(api, thread_id)
    assert [one["event"] for one in of_channel(found, "lifecycle")] == ["running", "completed"]
    assert of_channel(found, "values")[-1]["entries"] == ["e-0", "e-1"]


@pytest.mark.parametrize("last", [None, "0", "x"])
def test_who_comes_without_a_place_is_told_of_what_begins_from_now_on(
    last: str | None, api: httpx.Client, thread_id: str
) -> None:
    wait(api, thread_id, input={"n": 1, "name": "before"})
    headers = {"Last-Event-ID": last} if last else {}
    with api.stream("GET", f"/threads/{thread_id}/stream", headers=headers) as response:
        assert response.status_code == 200
        time.sleep(0.3)  # the stream takes up its place once its headers are sent
        run_id = start(api, thread_id, "subgraph", input={"topic": "t"})
        first = next(sent(response))
    assert first[0] == "metadata"
    assert first[1] == {"run_id": run_id, "attempt": 1}


def test_runs_are_told_between_their_beginning_and_their_end(api: httpx.Client, thread_id: str) -> None:
    body = {"assistant_id": "fail", "input": {"kind": "ValueError"}, "stream_resumable": True}
    run_ids: list[str] = []
    for fields in ({"assistant_id": "log", "input": {"n": 1}, "stream_resumable": True}, body):
        with api.stream("POST", f"/threads/{thread_id}/runs/stream", json=fields) as response:
            response.read()
        run_ids.insert(0, read(api, f"/threads/{thread_id}/runs?limit=1")[0]["run_id"])
    second, first = run_ids
    found = told_of_runs(api, thread_id, 2)
    marks = [data for name, data, _ in found if name == "metadata"]
    assert marks == [
        {"run_id": first, "attempt": 1},
        {"status": "run_done", "run_id": first},
        {"run_id": second, "attempt": 1},
        {"status": "run_done", "run_id": second},
    ]
    assert [name for name, _, _ in found].count("error") == 1
    assert found[-2][0] == "error"
    ids = [at for _, _, at in found]
    assert len(set(ids)) == len(ids)
    cut = ids.index(next(at for name, data, at in found if data == {"run_id": second, "attempt": 1}))
    assert told_of_runs(api, thread_id, 1, after=ids[cut]) == found[cut + 1 :]


def test_beginnings_and_ends_alone_are_the_mode_lifecycle(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, input={"n": 1})
    assert [name for name, _, _ in told_of_runs(api, thread_id, 1, stream_mode="lifecycle")] == ["metadata"] * 2
    both = told_of_runs(api, thread_id, 1, stream_modes="run_modes,lifecycle")
    assert {"metadata", "values"} <= {name for name, _, _ in both}


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({}, 400, "channels"),
        ({"channels": []}, 400, "channels"),
        ({"channels": ["values", "zz"]}, 400, "zz"),
        ({"channels": ["debug"]}, 400, "debug"),
        ({"channels": "values"}, 422, "channels"),
        ({"channels": [1]}, 422, "channels"),
        ({"channels": ["values"], "namespaces": "x"}, 422, "namespaces"),
        ({"channels": ["values"], "namespaces": ["x"]}, 422, "namespaces"),
        ({"channels": ["values"], "depth": -1}, 422, "depth"),
        ({"channels": ["values"], "depth": False}, 422, "depth"),
        ({"channels": ["values"], "since": True}, 422, "since"),
        ({"channels": ["values"], "since": "1"}, 422, "since"),
        ([], 422, "object"),
    ],
)
def test_a_bad_subscription_is_refused(body: Any, status: int, word: str, api: httpx.Client, thread_id: str) -> None:
    response = api.post(f"/threads/{thread_id}/stream/events", json=body)
    assert (response.status_code, word in response.json()["detail"]) == (status, True), response.text


@pytest.mark.parametrize(("mode", "status"), [("zz", 422), ("values", 422), ("state_update", 501)])
def test_a_mode_that_is_none_is_refused(mode: str, status: int, api: httpx.Client, thread_id: str) -> None:
    response = api.get(f"/threads/{thread_id}/stream", params={"stream_mode": mode})
    assert (response.status_code, mode in response.json()["detail"]) == (status, True)


def test_the_streams_of_a_thread_that_is_not_there_are_not_there(api: httpx.Client) -> None:
    assert api.get(f"/threads/{UNKNOWN}/stream").status_code == 404
    assert api.post(f"/threads/{UNKNOWN}/stream/events", json={"channels": ["values"]}).status_code == 404
    assert api.get("/threads/abc/stream").status_code == 422


def test_a_thread_that_is_deleted_ends_its_stream(api: httpx.Client, thread_id: str) -> None:
    with api.stream("GET", f"/threads/{thread_id}/stream") as response:
        time.sleep(0.3)
        api.delete(f"/threads/{thread_id}").raise_for_status()
        assert list(sent(response)) == []


def test_a_place_beyond_all_time_is_one_behind_everything(api: httpx.Client, thread_id: str) -> None:
    ended(api, thread_id, start(api, thread_id, input={"n": 1}))
    body = {"channels": ALL, "since": 10**30}
    with api.stream("POST", f"/threads/{thread_id}/stream/events", json=body) as response:
        assert response.status_code == 200
    headers = {"Last-Event-ID": "99999999999999999999-1"}
    with api.stream("GET", f"/threads/{thread_id}/stream", headers=headers) as response:
        assert response.status_code == 200


def test_the_end_of_a_run_without_events_has_a_place_of_its_own_also_for_who_comes_back(
    api: httpx.Client, thread_id: str
) -> None:
    ended(api, thread_id, start(api, thread_id, input={"n": 1}))
    seen = told_of_runs(api, thread_id, 1)
    with busy(api, thread_id, entries=3):
        cancelled = start(api, thread_id, input={"n": 1})
        path = f"/threads/{thread_id}/runs/{cancelled}/cancel"
        assert api.post(path, params={"wait": "true"}).status_code == 200
    whole = told_of_runs(api, thread_id, 2)  # of the run that held the thread nothing is kept
    resumed = told_of_runs(api, thread_id, 2, after=seen[1][2])
    ids = [at for _, _, at in whole]
    assert len(set(ids)) == len(ids)
    assert [at for _, _, at in resumed if at not in ids] == []
