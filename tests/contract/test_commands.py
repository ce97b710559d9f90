"""`POST /threads/{id}/commands` and the events it leads to: what is done, and what is refused with which code."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from handler.api.commands import UNSUPPORTED
from tests.contract.calls import UNKNOWN, Json, Seen, busy, last_run, read, state_of, until, wait

ENDS = frozenset({"completed", "failed", "interrupted"})
CHANNELS = ["values", "updates", "messages", "custom", "checkpoints", "lifecycle", "input", "tasks", "tools"]
LOG = {"assistant_id": "log", "input": {"n": 1}}


def post(api: httpx.Client, thread_id: str, method: str, params: Any = None, **headers: str) -> httpx.Response:
    """Give a command."""
    body = {"id": 7, "method": method, "params": params}
    return api.post(f"/threads/{thread_id}/commands", json=body, headers=headers)


def done(api: httpx.Client, thread_id: str, method: str, params: Json, **headers: str) -> Json:
    """The result of a command that is carried out."""
    answer = post(api, thread_id, method, params, **headers)
    assert answer.status_code == 200, answer.text
    envelope = answer.json()
    assert envelope == {
        "type": "success",
        "id": 7,
        "result": envelope.get("result"),
        "meta": {"applied_through_seq": 0},
    }
    result: Json = envelope["result"]
    return result


def code_of(api: httpx.Client, thread_id: str, method: str, params: Any = None) -> str:
    """The code with which a command is refused."""
    answer = post(api, thread_id, method, params)
    assert answer.status_code == 200, answer.text
    envelope = answer.json()
    assert set(envelope) == {"type", "id", "error", "message"}
    assert (envelope["type"], envelope["id"]) == ("error", 7)
    assert envelope["message"]
    return str(envelope["error"])


def start(api: httpx.Client, thread_id: str, **params: Any) -> str:
    """Start a run; its id."""
    return str(done(api, thread_id, "run.start", {"assistant_id": "log", **params})["run_id"])


def settle(api: httpx.Client, thread_id: str, status: str = "idle") -> None:
    """Wait until the thread has come to a status."""
    until(lambda: bool(read(api, f"/threads/{thread_id}")["status"] == status), f"the thread is {status}")


def waiting(api: httpx.Client, thread_id: str) -> list[str]:
    """The ids of the interrupts at which a thread stands."""
    found = read(api, f"/threads/{thread_id}")["interrupts"]
    return [one["id"] for task in found.values() for one in task]


def events(api: httpx.Client, thread_id: str, enough: Callable[[list[Json]], bool], **body: Any) -> list[Json]:
    """The events of a thread, as far as they are enough, or its stream's end."""
    found: list[Json] = []
    deadline = time.monotonic() + 20
    given = {"channels": CHANNELS, **body}
    with api.stream("POST", f"/threads/{thread_id}/stream/events", json=given) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
                if enough(found):
                    return found
            assert time.monotonic() < deadline, f"never enough: {found}"
    return found


def ends(count: int) -> Callable[[list[Json]], bool]:
    """So many runs have told their end."""

    def enough(found: list[Json]) -> bool:
        roots = [one for one in found if one["method"] == "lifecycle" and not one["params"]["namespace"]]
        return sum(one["params"]["data"]["event"] in ENDS for one in roots) == count

    return enough


def lifecycle(found: list[Json]) -> list[str]:
    """What the roots' lifecycle events say."""
    roots = [one for one in found if one["method"] == "lifecycle" and not one["params"]["namespace"]]
    return [one["params"]["data"]["event"] for one in roots]


@pytest.fixture
def asked(api: httpx.Client, thread_id: str) -> str:
    """A thread that stands at an interrupt."""
    start(api, thread_id, assistant_id="human", input={"question": "q"})
    settle(api, thread_id, "interrupted")
    return thread_id


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], None),
        ("x", None),
        ({"method": "run.start"}, None),
        ({"id": "x", "method": "run.start"}, "x"),
        ({"id": True, "method": "run.start"}, True),
        ({"id": 1.5, "method": "run.start"}, 1.5),
        ({"id": 1}, 1),
        ({"id": 1, "method": 2}, 1),
    ],
    ids=json.dumps,
)
def test_what_is_no_command_is_a_bad_request(
    body: Any, named: Any, api: httpx.Client, thread_id: str, seen: Seen
) -> None:
    before = seen(thread_id)
    answer = api.post(f"/threads/{thread_id}/commands", json=body)
    assert answer.status_code == 400
    assert {**answer.json(), "message": ""} == {
        "type": "error",
        "id": named,
        "error": "invalid_argument",
        "message": "",
    }
    assert seen(thread_id) == before


REFUSED: list[tuple[str, Any, str]] = [
    ("nope", None, "unknown_command"),
    *((name, {}, "not_supported") for name in sorted(UNSUPPORTED)),
    ("run.start", None, "invalid_argument"),
    ("run.start", {"assistant_id": ""}, "invalid_argument"),
    ("run.start", {"assistant_id": 1}, "invalid_argument"),
    ("run.start", {"assistant_id": "nope"}, "invalid_argument"),
    ("run.start", {"assistant_id": UNKNOWN}, "invalid_argument"),
    ("run.start", {**LOG, "config": {"configurable": {"checkpoint_id": "zz"}}}, "invalid_argument"),
    ("run.start", {**LOG, "config": "x"}, "invalid_argument"),
    ("run.start", {**LOG, "metadata": "x"}, "invalid_argument"),
    ("run.start", {**LOG, "multitaskStrategy": "zz"}, "invalid_argument"),
    ("run.start", {**LOG, "langsmith_tracer": {"project": "a"}}, "not_supported"),
    ("input.respond", None, "invalid_argument"),
    ("input.respond", {"interrupt_id": 1}, "invalid_argument"),
    ("input.respond", {"interrupt_id": "a", "namespace": "x"}, "invalid_argument"),
    ("input.respond", {"interrupt_id": "a", "namespace": [1]}, "invalid_argument"),
    ("input.respond", {"responses": []}, "invalid_argument"),
    ("input.respond", {"responses": "x"}, "invalid_argument"),
    ("input.respond", {"responses": [1]}, "invalid_argument"),
    ("input.respond", {"responses": [{"response": 1}]}, "invalid_argument"),
    ("input.respond", {"interrupt_id": "a", "response": 1}, "no_such_interrupt"),
]


@pytest.mark.parametrize(("method", "params", "code"), REFUSED, ids=str)
def test_a_command_is_refused_by_its_code_and_changes_nothing(
    method: str, params: Any, code: str, api: httpx.Client, thread_id: str, seen: Seen
) -> None:
    before = seen(thread_id)
    assert code_of(api, thread_id, method, params) == code
    assert seen(thread_id) == before


def test_a_thread_that_is_not_there_is_made_by_run_start_alone(api: httpx.Client) -> None:
    fresh = str(uuid.uuid4())
    assert post(api, fresh, "input.respond", {"interrupt_id": "a"}).status_code == 404
    assert api.get(f"/threads/{fresh}").status_code == 404
    start(api, fresh, input={"n": 1})
    settle(api, fresh)
    assert state_of(api, fresh)["values"]["entries"] == ["e-0"]
    assert post(api, "abc", "run.start", LOG).status_code == 422


def test_metadata_and_config_reach_the_run_and_its_graph(api: httpx.Client, thread_id: str) -> None:
    config = {"configurable": {"user_name": "ada"}, "recursion_limit": 9, "tags": ["t"]}
    run_id = start(api, thread_id, input={"n": 1}, metadata={"mark": "m"}, config=config)
    settle(api, thread_id)
    run = read(api, f"/threads/{thread_id}/runs/{run_id}")
    assert run["metadata"]["mark"] == "m"
    assert run["status"] == "success"
    reached = state_of(api, thread_id)["values"]["seen"]
    assert reached["configurable"]["user_name"] == "ada"
    assert (reached["recursion_limit"], reached["metadata"]["mark"]) == (9, "m")


def test_a_run_forks_from_the_checkpoint_in_its_config(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1, "name": "a"})
    checkpoint_id = state_of(api, thread_id)["checkpoint_id"]
    wait(api, thread_id, input={"n": 1, "name": "b"})
    start(api, thread_id, input={"n": 1, "name": "c"}, config={"configurable": {"checkpoint_id": checkpoint_id}})
    settle(api, thread_id)
    assert state_of(api, thread_id)["values"]["entries"] == ["a-0", "c-0"]


def test_an_idempotency_key_stands_for_one_run(api: httpx.Client, thread_id: str) -> None:
    first, second = (done(api, thread_id, "run.start", LOG, **{"idempotency-key": "k"}) for _ in range(2))
    assert first == second
    settle(api, thread_id)
    assert len(read(api, f"/threads/{thread_id}/runs")) == 1


def test_a_run_waits_for_its_turn_on_a_busy_thread_unless_it_rejects(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id):
        assert code_of(api, thread_id, "run.start", {**LOG, "multitaskStrategy": "reject"}) == "unknown_error"
        run_id = start(api, thread_id, input={"n": 1, "name": "new"})
        assert read(api, f"/threads/{thread_id}/runs/{run_id}")["status"] == "pending"
    settle(api, thread_id)
    assert state_of(api, thread_id)["values"]["entries"][-1] == "new-0"


def test_an_answer_is_consumed(api: httpx.Client, asked: str) -> None:
    (name,) = waiting(api, asked)
    given = {"interrupt_id": name, "namespace": [], "response": "yes", "metadata": {"mark": "m"}}
    assert done(api, asked, "input.respond", given) == {}
    settle(api, asked)
    assert state_of(api, asked)["values"]["answer"] == "yes"
    assert last_run(api, asked)["metadata"]["mark"] == "m"
    assert code_of(api, asked, "input.respond", given) == "no_such_interrupt"


def test_an_answer_brings_an_update_along(api: httpx.Client, asked: str) -> None:
    (name,) = waiting(api, asked)
    given = {"responses": [{"interrupt_id": name, "response": "yes"}], "update": {"question": "other"}}
    done(api, asked, "input.respond", given)
    settle(api, asked)
    assert state_of(api, asked)["values"] == {"question": "other", "answer": "yes", "done": True}


def test_an_answer_may_say_where_to_go_on(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, input={"n": 1, "ask": "well?"})
    settle(api, thread_id, "interrupted")
    (name,) = waiting(api, thread_id)
    done(api, thread_id, "input.respond", {"interrupt_id": name, "response": "yes", "goto": "append"})
    until(lambda: bool(state_of(api, thread_id)["values"]["entries"] == ["e-0", "e-1"]), "it goes on there")
    assert state_of(api, thread_id)["values"]["answer"] == "yes"


def test_the_input_of_a_run_on_an_interrupted_thread_is_the_answer(api: httpx.Client, asked: str) -> None:
    start(api, asked, assistant_id="human", input="yes")
    settle(api, asked)
    assert state_of(api, asked)["values"] == {"question": "q", "answer": "yes", "done": True}


def test_an_answer_may_be_sent_as_soon_as_it_is_asked_for(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, assistant_id="human", input={"question": "q"})
    told = events(api, thread_id, lambda found: found[-1]["method"] == "input.requested")[-1]
    assert told["params"]["data"]["payload"] == told["params"]["data"]["value"] == {"question": "q"}
    given = {"interrupt_id": told["params"]["data"]["interrupt_id"], "namespace": [], "response": "at once"}
    done(api, thread_id, "input.respond", given)
    settle(api, thread_id)
    assert state_of(api, thread_id)["values"]["answer"] == "at once"


def test_events_of_two_runs_have_growing_seqs_and_the_same_ids_whenever_they_are_read(
    api: httpx.Client, asked: str
) -> None:
    (name,) = waiting(api, asked)
    done(api, asked, "input.respond", {"interrupt_id": name, "response": "yes"})
    first = events(api, asked, ends(2))
    assert events(api, asked, ends(2)) == first
    seqs = [one["seq"] for one in first]
    assert seqs == sorted(set(seqs))
    assert len({one["event_id"] for one in first}) == len(first)
    assert lifecycle(first) == ["running", "interrupted", "running", "completed"]
    half = len(first) // 2
    assert events(api, asked, lambda found: len(found) == len(first) - half, since=seqs[half - 1]) == first[half:]


@pytest.mark.parametrize("channel", ["values", "updates", "checkpoints", "lifecycle", "input"])
def test_a_channel_has_its_own_events_and_no_others(channel: str, api: httpx.Client, asked: str) -> None:
    (name,) = waiting(api, asked)
    done(api, asked, "input.respond", {"interrupt_id": name, "response": "yes"})
    method = "input.requested" if channel == "input" else channel
    expected = [one for one in events(api, asked, ends(2)) if one["method"] == method]
    assert expected
    assert events(api, asked, lambda found: len(found) == len(expected), channels=[channel]) == expected


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"namespaces": [["child"]]}, lambda namespace: bool(namespace)),
        ({"namespaces": [[]], "depth": 0}, lambda namespace: not namespace),
        ({"namespaces": [[]], "depth": 1}, lambda _: True),
    ],
    ids=["below", "the root", "one level"],
)
def test_events_are_chosen_by_their_namespace(
    more: Json, kept: Callable[[list[str]], bool], api: httpx.Client, thread_id: str
) -> None:
    start(api, thread_id, assistant_id="subgraph", input={"topic": "t"})
    found = events(api, thread_id, ends(1))
    assert {len(one["params"]["namespace"]) for one in found} == {0, 1}
    expected = [one for one in found if kept(one["params"]["namespace"])]
    assert events(api, thread_id, lambda some: len(some) == len(expected), **more) == expected


def test_a_run_that_fails_says_so_with_its_error(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, assistant_id="fail", input={"kind": "ValueError"})
    last = events(api, thread_id, ends(1))[-1]["params"]["data"]
    assert (last["event"], last["error"]) == ("failed", "boom ValueError")


def test_a_run_of_another_client_is_told(api: httpx.Client, thread_id: str) -> None:
    fields = {"assistant_id": "log", "input": {"n": 1}, "stream_resumable": True}
    api.post(f"/threads/{thread_id}/runs/stream", json=fields).raise_for_status()
    found = events(api, thread_id, ends(1))
    assert lifecycle(found) == ["running", "completed"]
    values = [one["params"]["data"] for one in found if one["method"] == "values"]
    assert values[-1]["entries"] == ["e-0"]


def test_a_run_that_is_cancelled_while_it_waits_is_told_to_be_interrupted(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, input={"n": 4, "seconds": 0.3})

    def enough(found: list[Json]) -> bool:
        if len(found) == 1:
            run_id = start(api, thread_id, input={"n": 1})
            api.post(f"/threads/{thread_id}/runs/{run_id}/cancel").raise_for_status()
        return ends(2)(found)

    found = events(api, thread_id, enough)
    assert lifecycle(found) == ["running", "completed", "interrupted"]
    assert [one["seq"] for one in found] == sorted({one["seq"] for one in found})


def test_a_run_that_is_rolled_back_is_told_to_be_interrupted(api: httpx.Client, thread_id: str) -> None:
    rolled_back = start(api, thread_id, input={"n": 20, "seconds": 0.3, "name": "old"})

    def enough(found: list[Json]) -> bool:
        if len(found) == 1:
            start(api, thread_id, input={"n": 1, "name": "new"}, multitaskStrategy="rollback")
        return ends(2)(found)

    assert lifecycle(events(api, thread_id, enough)) == ["running", "interrupted", "running", "completed"]
    settle(api, thread_id)
    assert state_of(api, thread_id)["values"]["entries"] == ["new-0"]
    assert api.get(f"/threads/{thread_id}/runs/{rolled_back}").status_code == 404


def test_the_stream_of_a_deleted_thread_ends(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, input={"n": 1})
    settle(api, thread_id)

    def enough(found: list[Json]) -> bool:
        if ends(1)(found):
            api.delete(f"/threads/{thread_id}").raise_for_status()
        return False

    assert lifecycle(events(api, thread_id, enough)) == ["running", "completed"]


def test_answers_come_in_a_list_and_an_interrupt_of_a_subgraph_is_known_by_its_id(
    api: httpx.Client, thread_id: str
) -> None:
    start(api, thread_id, assistant_id="subgraph", input={"topic": "t", "ask": True})
    settle(api, thread_id, "interrupted")
    (interrupt,) = waiting(api, thread_id)
    entry = {"interrupt_id": interrupt, "namespace": ["child:x"], "response": "yes"}
    done(api, thread_id, "input.respond", {"responses": [entry]})
    settle(api, thread_id)
    assert "asked:yes" in state_of(api, thread_id)["values"]["notes"]
