"""`client.threads.join_stream` and `client.threads.stream`: commands, and the events of a thread's finished runs."""

import json
import time
from typing import Any

from tests.difference.exchange import Exchange
from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("thread streams")

ENDS = {"completed", "failed", "interrupted"}
READ_FOR_S = 15.0

FINISHED = {
    "human": ("human", {"question": "q"}, None, 1),
    "human answered": ("human", {"question": "q"}, "yes", 2),
    "subgraph": ("subgraph", {"topic": "t"}, None, 1),
    "a subgraph asks": ("subgraph", {"topic": "t", "ask": True}, None, 1),
    "a failure": ("fail", {"kind": "ValueError"}, None, 1),
    "two steps": ("long", {"steps": 2, "seconds": 0}, None, 1),
    "tokens": ("words", {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}, None, 1),
    "tool calls": ("agent", {"messages": [{"role": "user", "content": "weather in Lima", "id": "m1"}]}, None, 1),
    "all at once": ("talk", {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}, None, 1),
}


def told(event: dict[str, Any]) -> dict[str, Any]:
    """An event of the protocol without its place and its time."""
    params = {name: value for name, value in event["params"].items() if name != "timestamp"}
    return {"method": event["method"], "params": params}


def read(s: Session, channels: list[str], ends: int, **more: Any) -> None:
    """Keep the events of a thread, by their channels, as far as the end of so many runs.

    What the channels tell stands in one order only within each of them.
    """
    found: dict[str, list[Any]] = {}
    rootless = [] not in more.get("namespaces", [[]])
    deadline = time.monotonic() + READ_FOR_S
    body = {"channels": ["lifecycle", *channels], **more}
    with s.client.stream("POST", f"{s.at}/stream/events", json=body, timeout=READ_FOR_S) as response:
        for line in response.iter_lines():
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
                found.setdefault(event["method"], []).append(told(event))
                outermost = rootless or not event["params"]["namespace"]
                ends -= event["method"] == "lifecycle" and outermost and event["params"]["data"]["event"] in ENDS
            if not ends:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"the runs' ends were not told; found {found}")
        s.keep(Exchange(f"POST {s.at}/stream/events", response.status_code, {}, found))


def command(s: Session, method: str, params: Any) -> Exchange:
    """Give a command, without comparing its answer."""
    return s.quiet.post(f"{s.at}/commands", {"id": 1, "method": method, "params": params})


def played(s: Session, graph: str, given: Any, answer: Any) -> None:
    """Have a run of the protocol go to its end, and its interrupt answered."""
    command(s, "run.start", {"assistant_id": graph, "input": given})
    s.until_thread("idle", "interrupted", "error")
    if answer is not None:
        (one,) = next(iter(s.quiet.get(s.at)["interrupts"].values()))
        command(s, "input.respond", {"namespace": [], "interrupt_id": one["id"], "response": answer})
        s.until_thread("idle", "error")


@area.each(FINISHED)
def lifecycle_of(s: Session, case: Any) -> None:
    graph, given, answer, ends = case
    played(s, graph, given, answer)
    read(s, [], ends)


@area.each(FINISHED)
def values_and_input_of(s: Session, case: Any) -> None:
    graph, given, answer, ends = case
    played(s, graph, given, answer)
    read(s, ["values", "input"], ends)


@area.each({name: FINISHED[name] for name in ("tokens", "all at once", "tool calls", "subgraph")})
def messages_of(s: Session, case: Any) -> None:
    graph, given, answer, ends = case
    played(s, graph, given, answer)
    read(s, ["messages"], ends)


@area.each(
    {
        "the root": {"namespaces": [[]], "depth": 0},
        "the subgraph": {"namespaces": [["child"]]},
        "one level": {"namespaces": [[]], "depth": 1},
        "elsewhere": {"namespaces": [["nowhere"], []], "depth": 0},
    }
)
def values_below(s: Session, more: Any) -> None:
    played(s, "subgraph", {"topic": "t"}, None)
    read(s, ["values"], 1, **more)


@area.each(
    {
        "an unknown command": {"id": 1, "method": "nope"},
        "no envelope": [],
        "an id that is no number": {"id": "x", "method": "run.start"},
        "no id": {"method": "run.start"},
        "no method": {"id": 1},
        "no assistant": {"id": 1, "method": "run.start", "params": {}},
        "params that are none": {"id": 1, "method": "run.start", "params": []},
        "an unknown assistant": {"id": 1, "method": "run.start", "params": {"assistant_id": "nope"}},
        "an unknown assistant id": {"id": 1, "method": "run.start", "params": {"assistant_id": UNKNOWN}},
        "a checkpoint_id that is none": {
            "id": 1,
            "method": "run.start",
            "params": {"assistant_id": "long", "config": {"configurable": {"checkpoint_id": "zz"}}},
        },
        "an unknown strategy": {
            "id": 1,
            "method": "run.start",
            "params": {"assistant_id": "long", "input": {"seconds": 0}, "multitaskStrategy": "zz"},
        },
        "an answer to nothing": {"id": 1, "method": "input.respond", "params": {}},
        "an answer to an unknown interrupt": {
            "id": 1,
            "method": "input.respond",
            "params": {"namespace": [], "interrupt_id": "a", "response": 1},
        },
        "a namespace that is no list": {
            "id": 1,
            "method": "input.respond",
            "params": {"interrupt_id": "a", "namespace": "x", "response": 1},
        },
        "no answers": {"id": 1, "method": "input.respond", "params": {"responses": []}},
        "an answer that is no object": {"id": 1, "method": "input.respond", "params": {"responses": [1]}},
        "a tree": {"id": 1, "method": "agent.getTree"},
        "a state": {"id": 1, "method": "state.get", "params": {"namespace": []}},
        "an input": {"id": 1, "method": "input.inject"},
        "a subscription": {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values"]}},
        "a subscription's end": {"id": 1, "method": "subscription.unsubscribe", "params": {"subscription_id": "a"}},
    }
)
def command_refused(s: Session, body: Any) -> None:
    s.keep(wordless(s.quiet.post(f"{s.at}/commands", body)))


def wordless(answer: Exchange) -> Exchange:
    """An envelope without its wording."""
    if isinstance(answer.body, dict) and answer.body.get("type") == "error":
        return Exchange(answer.call, answer.status, answer.headers, {**answer.body, "message": "(some text)"})
    return answer


@area.scenario
def command_that_is_no_json(s: Session) -> None:
    s.post(f"{s.at}/commands", content=b"{")


@area.each({"unknown": None, "no UUID": "abc"})
def command_on_a_thread_that_is_not_there(s: Session, thread: Any) -> None:
    params = {"assistant_id": "long", "input": {"seconds": 0}}
    s.keep(
        wordless(
            s.quiet.post(f"/threads/{thread or s.tag}/commands", {"id": 1, "method": "run.start", "params": params})
        )
    )


@area.scenario
def answer_is_consumed(s: Session) -> None:
    s.post(f"{s.at}/commands", {"id": 1, "method": "run.start", "params": {"assistant_id": "human", "input": {}}})
    s.until_thread("interrupted")
    (one,) = next(iter(s.quiet.get(s.at)["interrupts"].values()))
    given = {"namespace": [], "interrupt_id": one["id"], "response": "yes"}
    s.post(f"{s.at}/commands", {"id": 2, "method": "input.respond", "params": given})
    s.until_thread("idle")
    s.keep(wordless(s.quiet.post(f"{s.at}/commands", {"id": 3, "method": "input.respond", "params": given})))
    s.get(f"{s.at}/state")


@area.scenario
def input_answers_an_interrupt(s: Session) -> None:
    played(s, "human", {"question": "q"}, None)
    s.post(f"{s.at}/commands", {"id": 1, "method": "run.start", "params": {"assistant_id": "human", "input": "yes"}})
    s.until_thread("idle")
    assert s.get(s.at)["values"]["answer"] == "yes"


@area.each(
    {
        "nothing": {},
        "no channels": {"channels": []},
        "unknown": {"channels": ["zzz"]},
        "no texts": {"channels": ["values", 1]},
        "namespaces": {"channels": ["values"], "namespaces": "x"},
    }
)
def channels_refused(s: Session, body: Any) -> None:
    if body.get("namespaces"):
        played(s, "long", {"steps": 1, "seconds": 0}, None)
    status(s, "POST", f"{s.at}/stream/events", json=body)


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def thread_that_is_not_there(s: Session, thread: str) -> None:
    status(s, "POST", f"/threads/{thread}/stream/events", json={"channels": ["values"]})
    status(s, "GET", f"/threads/{thread}/stream")


@area.each({"unknown": "stream_modes=zzz", "one unknown": "stream_modes=run_modes&stream_modes=zzz"})
def modes_refused(s: Session, query: str) -> None:
    status(s, "GET", f"{s.at}/stream?{query}")


def status(s: Session, method: str, path: str, **options: Any) -> None:
    """Keep an answer's status, and not its body, which a stream does not end."""
    with s.client.stream(method, path, **options) as response:
        s.keep(Exchange(f"{method} {path}", response.status_code, {}, None))


@area.each({"values": "values", "updates": "updates", "messages-tuple": "messages-tuple"})
def runs_of_others_are_read_again(s: Session, mode: str) -> None:
    given = {"steps": 2, "seconds": 0}
    s.quiet.post(
        f"{s.at}/runs/stream", {"assistant_id": "long", "input": given, "stream_mode": mode, "stream_resumable": True}
    )
    joined(s, "-")


def joined(s: Session, last: str) -> None:
    """Keep the events of a thread behind one, as far as the end of a run."""
    found, name = [], ""
    deadline = time.monotonic() + READ_FOR_S
    with s.client.stream("GET", f"{s.at}/stream", headers={"last-event-id": last}, timeout=READ_FOR_S) as response:
        for line in response.iter_lines():
            field, _, value = line.partition(":")
            if field == "event":
                name = value.strip()
            elif field == "data":
                data = json.loads(value)
                found.append({"event": name, "data": data})
                if isinstance(data, dict) and data.get("status") == "run_done":
                    break
            if time.monotonic() > deadline:
                raise TimeoutError(f"the run's end was not told; found {found}")
        s.keep(Exchange(f"GET {s.at}/stream", response.status_code, {}, found))
