"""What a bad request gets: the reference's status, one error shape, and a thread that is as it was before."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.contract.calls import UNKNOWN, Json, Seen, read, wait

WAIT = "/threads/{thread_id}/runs/wait"
THREAD = "/threads/{thread_id}"
GOOD = {"assistant_id": "log", "input": {"n": 1}}
NOT_JSON = "JSON"
NO_OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Case:
    """A request that the server has to refuse."""

    name: str
    status: int
    detail: str
    """A part of the answer's `detail`, in any case."""
    body: Any = None
    raw: bytes | None = None
    """The bytes to send, where the body is not what `json.dumps` makes."""
    path: str = WAIT
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """The bytes of the request's body."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()


def given(name: str, value: Any, *, status: int = 422, detail: str | None = None) -> Case:
    """A run whose one bad field is `name`; the answer names the field."""
    return Case(f"{name} {json.dumps(value)}", status, detail or name, {**GOOD, name: value})


def each(name: str, *values: Any) -> list[Case]:
    """Runs whose one bad field is `name`, a case for each value."""
    return [given(name, value) for value in values]


def configured(name: str, *values: Any) -> list[Case]:
    """Runs with one bad entry of the config; the answer names the entry."""
    return [given("config", {name: value}, detail=name) for value in values]


def commanded(*commands: Any) -> list[Case]:
    """Runs with a bad command."""
    return [
        Case(f"command {json.dumps(command)}", 422, "command", {"assistant_id": "log", "command": command})
        for command in commands
    ]


def unreadable(name: str, raw: bytes, path: str = WAIT, method: str = "POST") -> Case:
    """A body that is not JSON."""
    return Case(name, 422, NOT_JSON, raw=raw, path=path, method=method)


def no_object(value: Any, path: str = WAIT, method: str = "POST") -> Case:
    """A body that is JSON and no object."""
    return Case(
        f"{method} {path} {json.dumps(value)}", 422, NO_OBJECT, raw=json.dumps(value).encode(), path=path, method=method
    )


BODIES = [
    unreadable("an empty body", b""),
    unreadable("broken JSON", b'{"assistant_id":'),
    unreadable("two documents", b'{"assistant_id":"log"} {}'),
    unreadable("NaN", b'{"assistant_id":"log","input":{"n":1,"name":NaN}}'),
    unreadable("an infinite number", b'{"assistant_id":"log","input":{"n":1,"name":1e999}}'),
    unreadable("bytes that are not UTF-8", b'{"assistant_id":"\xff"}'),
    unreadable("half a surrogate pair", b'{"assistant_id":"log","input":{"name":"\\ud800"}}'),
    unreadable("a byte order mark", b'\xef\xbb\xbf{"assistant_id":"log","input":{"n":1}}'),
    unreadable("2000 levels of nesting", b'{"assistant_id":"log","input":' + b"[" * 2000 + b"]" * 2000 + b"}"),
    Case(
        "a form",
        422,
        NOT_JSON,
        raw=b"assistant_id=log",
        headers={"content-type": "application/x-www-form-urlencoded"},
    ),
    # The reference has no limit; Lambda's, 6 MB for a request, is ours.
    Case("7 MB", 413, "large", {**GOOD, "input": {"n": 1, "name": "x" * 7_000_000}}),
    no_object([]),
    no_object("log"),
    no_object(1),
    no_object(None),
]

ASSISTANTS = [
    Case("no assistant_id", 422, "assistant_id", {"input": {"n": 1}}),
    *each("assistant_id", None, 1, True, [], {}),
    given("assistant_id", "", detail="assistant"),
    given("assistant_id", "nope", detail="nope"),
    given("assistant_id", "LOG", detail="LOG"),
    given("assistant_id", UNKNOWN, status=404, detail="Thread or assistant not found."),
]

THREADS = [
    Case(
        "a run on an unknown thread", 404, "Thread or assistant not found.", GOOD, path=f"/threads/{UNKNOWN}/runs/wait"
    ),
    Case("a run on no UUID", 400, "UUID", GOOD, path="/threads/abc/runs/wait"),
    Case(
        "a bad name beats an unknown thread",
        422,
        "nope",
        {"assistant_id": "nope"},
        path=f"/threads/{UNKNOWN}/runs/wait",
    ),
    Case(
        "if_not_exists reject",
        404,
        "not found",
        {**GOOD, "if_not_exists": "reject"},
        path=f"/threads/{UNKNOWN}/runs/wait",
    ),
]

FIELDS = [
    *each("config", "x", 1, []),
    *configured("configurable", "x", []),
    *configured("tags", "x", [1]),
    # The reference answers 400 and leaves the thread busy for ever.
    *configured("metadata", "x"),
    *configured("recursion_limit", "x", "5", 1.5, True),
    *each("context", "x", 1, []),
    Case(
        "context and configurable",
        400,
        "Cannot specify both configurable and context",
        {**GOOD, "context": {"user_name": "a"}, "config": {"configurable": {"b": 1}}},
    ),
    *each("metadata", "x", 1, []),
    given("checkpoint_id", "abc", detail="checkpoint"),
    # The reference fails with 500.
    given("checkpoint_id", 1, detail="checkpoint"),
    *each("checkpoint", "x", 1, []),
    given("checkpoint", {"checkpoint_id": 1}, detail="checkpoint_id"),
    given("checkpoint", {"checkpoint_ns": 1}, detail="checkpoint_ns"),
    given("checkpoint", {"checkpoint_map": "x"}, detail="checkpoint_map"),
    *each("stream_mode", "bad", "", 1, ["bad"], ["values", "bad"], [1], {}),
    *each("multitask_strategy", "bad", "", 1, []),
    *each("on_disconnect", "bad", 1),
    # The page names two values; the reference has no such field on a thread's run.
    *each("on_completion", "bad", 1),
    *each("durability", "bad", 1),
    *each("if_not_exists", "bad", 1),
    *each("stream_subgraphs", "x", 1),
    given("stream", "x"),
    *each("interrupt_before", 1, [1], {}),
    *each("interrupt_after", 1, [1], {}),
    *each("after_seconds", "x", True),
    *each("webhook", 1, ""),
    *each("webhook", "/relative", "http://127.0.0.1/hook", "http://10.0.0.1/hook", "ftp://93.184.216.34/"),
    *each("after_seconds", 1e300),
    *each("strict_resume", "x", 1),
    *each("langsmith_tracer", "x", []),
    Case("langsmith_tracer", 501, "langsmith_tracer", {**GOOD, "langsmith_tracer": {"project_name": "p"}}),
]

COMMANDS = [
    *commanded("x", 1, []),
    *commanded({"update": "x"}, {"update": 1}),
    *commanded({"goto": 1}, {"goto": [1]}, {"goto": {"node": "append"}}, {"goto": {"foo": 1}}),
]

ELSEWHERE = [
    unreadable("POST /threads with nothing", b"", path="/threads"),
    unreadable("POST /threads with broken JSON", b"{", path="/threads"),
    no_object([], path="/threads"),
    *(
        Case(f"POST /threads {json.dumps(body)}", 422, detail, body, path="/threads")
        for body, detail in (
            ({"thread_id": "abc"}, "UUID"),
            ({"thread_id": 3}, "thread_id"),
            ({"metadata": "x"}, "metadata"),
            ({"metadata": []}, "metadata"),
            ({"metadata": None}, "metadata"),
            ({"if_exists": "overwrite"}, "if_exists"),
            ({"if_exists": 1}, "if_exists"),
            ({"ttl": "x"}, "ttl"),
        )
    ),
    Case("a thread that exists", 409, "already exists", {"thread_id": "{thread_id}"}, path="/threads"),
    Case("GET an unknown thread", 404, "not found", path=f"/threads/{UNKNOWN}", method="GET"),
    Case("GET a thread by no UUID", 422, "must be a UUID", path="/threads/abc", method="GET"),
    Case("PATCH an unknown thread", 404, "not found", {"metadata": {}}, path=f"/threads/{UNKNOWN}", method="PATCH"),
    Case("PATCH a thread by no UUID", 422, "must be a UUID", {"metadata": {}}, path="/threads/abc", method="PATCH"),
    *(
        Case(f"PATCH {json.dumps(body)}", 422, "metadata", body, path=THREAD, method="PATCH")
        for body in ({"metadata": "x"}, {"metadata": 1}, {"metadata": [1]}, {"metadata": None})
    ),
    unreadable("PATCH with broken JSON", b"{", path=THREAD, method="PATCH"),
    no_object([], path=THREAD, method="PATCH"),
    Case("PUT a thread", 405, "Method Not Allowed", {}, path=THREAD, method="PUT"),
    Case("DELETE an unknown thread", 404, "not found", path=f"/threads/{UNKNOWN}", method="DELETE"),
    Case("DELETE a thread by no UUID", 422, "must be a UUID", path="/threads/abc", method="DELETE"),
    Case("the state of an unknown thread", 404, "not found", path=f"/threads/{UNKNOWN}/state", method="GET"),
    Case("the state of no UUID", 422, "must be a UUID", path="/threads/abc/state", method="GET"),
    Case("the runs of an unknown thread", 404, "not found", path=f"/threads/{UNKNOWN}/runs", method="GET"),
    Case("the runs of no UUID", 422, "must be a UUID", path="/threads/abc/runs", method="GET"),
    *(
        Case(f"runs?{query}", status, detail, path=THREAD + f"/runs?{query}", method="GET")
        for query, status, detail in (
            ("limit=x", 400, "int"),
            ("limit=", 400, "int"),
            ("limit=1.5", 400, "int"),
            ("offset=x", 400, "int"),
            ("select=bad", 422, "select"),
        )
    ),
    Case("an unknown run", 404, "not found", path=THREAD + f"/runs/{UNKNOWN}", method="GET"),
    Case("a run by no UUID", 422, "must be a UUID", path=THREAD + "/runs/abc", method="GET"),
    Case("a run of an unknown thread", 404, "not found", path=f"/threads/{UNKNOWN}/runs/{{run_id}}", method="GET"),
    # The reference hides these behind a 200 with `__error__`.
    Case("join an unknown run", 404, "not found", path=THREAD + f"/runs/{UNKNOWN}/join", method="GET"),
    Case("join on an unknown thread", 404, "not found", path=f"/threads/{UNKNOWN}/runs/{{run_id}}/join", method="GET"),
    Case("join a run by no UUID", 422, "must be a UUID", path=THREAD + "/runs/abc/join", method="GET"),
    Case("an unknown assistant", 404, "not found", path=f"/assistants/{UNKNOWN}", method="GET"),
    Case("an assistant by no UUID", 422, "must be a UUID", path="/assistants/log", method="GET"),
    *(
        Case(f"search {json.dumps(body)}", status, detail, body, path="/assistants/search")
        for body, status, detail in (
            ({"graph_id": "nope"}, 404, "nope"),
            ({"graph_id": 1}, 422, "graph_id"),
            ({"metadata": "x"}, 422, "metadata"),
            ({"name": 1}, 422, "name"),
            ({"limit": 0}, 422, "limit"),
            ({"limit": 1001}, 422, "limit"),
            ({"limit": "x"}, 422, "limit"),
            ({"limit": True}, 422, "limit"),
            ({"offset": -1}, 422, "offset"),
            ({"sort_by": "bad"}, 422, "sort_by"),
            ({"sort_order": "ASC"}, 422, "sort_order"),
            ({"select": ["bad"]}, 422, "select"),
            ({"select": "name"}, 422, "select"),
        )
    ),
    no_object([], path="/assistants/search"),
    unreadable("search with broken JSON", b"{", path="/assistants/search"),
    unreadable("a command that is not JSON", b"{", path=THREAD + "/commands"),
    unreadable("a subscription that is not JSON", b"{", path=THREAD + "/stream/events"),
    Case("a path that does not exist", 404, "not found", path="/nope", method="GET"),
]

RESPOND = {"id": 1, "method": "input.respond", "params": {"interrupt_id": "a"}}
EVENTS = {"channels": ["values"]}

# What a command itself is refused for has an envelope of its own: test_commands.
THREAD_STREAMS = [
    unreadable("a command that is broken JSON", b"{", path=f"{THREAD}/commands"),
    Case("a command on no UUID", 422, "must be a UUID", RESPOND, path="/threads/abc/commands"),
    Case("an answer on an unknown thread", 404, "not found", RESPOND, path=f"/threads/{UNKNOWN}/commands"),
    unreadable("a subscription that is broken JSON", b"{", path=f"{THREAD}/stream/events"),
    no_object([], path=f"{THREAD}/stream/events"),
    Case("the events of no UUID", 422, "must be a UUID", EVENTS, path="/threads/abc/stream/events"),
    Case("the events of an unknown thread", 404, "not found", EVENTS, path=f"/threads/{UNKNOWN}/stream/events"),
    Case("the stream of no UUID", 422, "must be a UUID", path="/threads/abc/stream", method="GET"),
    Case("the stream of an unknown thread", 404, "not found", path=f"/threads/{UNKNOWN}/stream", method="GET"),
    *(
        Case(f"events {json.dumps(body)}", status, detail, {**EVENTS, **body}, path=f"{THREAD}/stream/events")
        for body, status, detail in (
            ({"channels": None}, 422, "channels"),
            ({"channels": []}, 400, "channels"),
            ({"channels": "values"}, 422, "channels"),
            ({"channels": [1]}, 422, "channels"),
            ({"channels": ["debug"]}, 400, "channels"),
            ({"namespaces": "x"}, 422, "namespaces"),
            ({"namespaces": ["x"]}, 422, "namespaces"),
            ({"depth": "x"}, 422, "depth"),
            ({"since": "x"}, 422, "since"),
        )
    ),
    *(
        Case(f"stream?{query}", status, detail, path=f"{THREAD}/stream?{query}", method="GET")
        for query, status, detail in (
            ("stream_mode=zz", 422, "zz"),
            ("stream_modes=zz", 422, "zz"),
            ("stream_mode=run_modes,zz", 422, "zz"),
            ("stream_modes=state_update", 501, "state_update"),
        )
    ),
]

CASES = [*BODIES, *ASSISTANTS, *THREADS, *FIELDS, *COMMANDS, *ELSEWHERE, *THREAD_STREAMS]


@pytest.fixture
def used_thread(api: httpx.Client, thread_id: str) -> str:
    """A thread with a finished run, so that there is something that could change."""
    assert wait(api, thread_id, input={"n": 1})["entries"] == ["e-0"]
    return thread_id


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_request_is_refused_and_changes_nothing(
    case: Case, api: httpx.Client, used_thread: str, seen: Seen
) -> None:
    before = seen(used_thread)
    names = {"thread_id": used_thread, "run_id": before["runs"][0]["run_id"]}
    path = case.path.format(**names)
    content = case.content().replace(b"{thread_id}", used_thread.encode())

    response = api.request(
        case.method, path, content=content or None, headers={"content-type": "application/json", **case.headers}
    )

    assert response.status_code == case.status, response.text
    answer = response.json()
    assert set(answer) == {"detail"}
    assert isinstance(answer["detail"], str)
    assert case.detail.lower() in answer["detail"].lower()
    assert seen(used_thread) == before


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
    assert len(names) >= 45


@pytest.mark.parametrize("body", [{**GOOD, "thread_id": UNKNOWN}, {**GOOD, "nonsense": [1, {}]}], ids=json.dumps)
def test_a_field_that_does_not_exist_is_ignored(body: Json, api: httpx.Client, thread_id: str) -> None:
    response = api.post(f"/threads/{thread_id}/runs/wait", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["entries"] == ["e-0"]


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {"content-type": ""}, {}], ids=json.dumps)
def test_a_body_is_read_as_json_whatever_its_content_type(
    headers: dict[str, str], api: httpx.Client, thread_id: str
) -> None:
    response = api.post(f"/threads/{thread_id}/runs/wait", content=json.dumps(GOOD), headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["entries"] == ["e-0"]


@pytest.mark.parametrize("shape", ["checkpoint_id", "checkpoint"])
@pytest.mark.parametrize("whose", ["unknown", "of another thread"])
def test_a_checkpoint_that_is_not_of_the_thread_fails_the_run_and_keeps_the_state(
    shape: str, whose: str, api: httpx.Client, used_thread: str, seen: Seen
) -> None:
    other = api.post("/threads", json={}).json()["thread_id"]
    wait(api, other, input={"n": 1, "name": "foreign"})
    others = seen(other)
    foreign = UNKNOWN if whose == "unknown" else others["state"]["checkpoint_id"]
    before = seen(used_thread)

    at: Json = {"checkpoint_id": foreign}
    result = wait(api, used_thread, input=None, **(at if shape == "checkpoint_id" else {"checkpoint": at}))

    assert set(result) == {"__error__"}
    assert result["__error__"]["error"] == "EmptyInputError"
    after = seen(used_thread)
    assert after["state"] == before["state"]
    assert after["thread"]["values"] == before["thread"]["values"]
    assert after["thread"]["status"] == "error"
    assert seen(other) == others


@pytest.mark.parametrize("value", ["x", 1, [], [1], True], ids=json.dumps)
def test_an_input_that_the_graph_cannot_take_fails_the_run(value: Any, api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input=value)
    assert result["__error__"]["error"] == "InvalidUpdateError"
    assert result["__error__"]["message"].startswith("Expected dict, got ")
    assert read(api, f"/threads/{thread_id}")["status"] == "error"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_recursion_limit_below_one_fails_the_run(limit: int, api: httpx.Client, thread_id: str) -> None:
    result = wait(api, thread_id, input={"n": 1}, config={"recursion_limit": limit})
    assert result == {"__error__": {"error": "ValueError", "message": "recursion_limit must be at least 1"}}
    assert read(api, f"/threads/{thread_id}")["error"] == result["__error__"]
