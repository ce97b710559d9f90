"""The JavaScript SDK's client over both servers: what a program sees of them."""

from collections.abc import Callable
from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("javascript")

Call = list[Any]
"""A method of the client, and its arguments."""

Program = Callable[[Session], list[Call]]

TWO_STEPS = {"steps": 2, "seconds": 0}
LONG: dict[str, Any] = {"input": TWO_STEPS}
HI = {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}
MODES = ("values", "updates", "messages", "messages-tuple", "tasks", "debug", "custom", "events")


def of(call: int, *path: Any) -> dict[str, Any]:
    """A part of what an earlier call returned."""
    return {"$": [call, *path]}


PROGRAMS: dict[str, Program] = {
    "thread is created read changed and deleted": lambda s: [
        ["threads.create", {"threadId": s.tag, "metadata": {"a": 1}}],
        ["threads.get", s.tag],
        ["threads.update", s.tag, {"metadata": {"b": 2}}],
        ["threads.get", s.tag],
        ["threads.delete", s.tag],
        ["threads.get", s.tag],
    ],
    "thread that exists": lambda s: [
        ["threads.create", {"threadId": s.tag}],
        ["threads.create", {"threadId": s.tag}],
        ["threads.create", {"threadId": s.tag, "ifExists": "do_nothing"}],
    ],
    "thread with super-steps": lambda s: [
        [
            "threads.create",
            {
                "threadId": s.tag,
                "graphId": "long",
                "supersteps": [{"updates": [{"values": {"steps": 0, "seconds": 0}, "asNode": "__start__"}]}],
            },
        ],
        ["threads.getState", s.tag],
    ],
    "threads are searched and counted": lambda s: [
        ["threads.create", {"threadId": s.tag, "metadata": {"tag": s.tag}}],
        ["threads.search", {"metadata": {"tag": s.tag}, "limit": 5}],
        ["threads.search", {"metadata": {"tag": s.tag}, "status": "busy"}],
        ["threads.search", {"ids": [s.tag], "select": ["thread_id", "status"]}],
        ["threads.count", {"metadata": {"tag": s.tag}}],
    ],
    "thread is copied": lambda s: [
        ["runs.wait", s.thread, "long", LONG],
        ["threads.copy", s.thread],
        ["threads.getState", of(1, "thread_id")],
    ],
    "state and history": lambda s: [
        ["runs.wait", s.thread, "long", LONG],
        ["threads.getState", s.thread],
        ["threads.getHistory", s.thread, {"limit": 10}],
        ["threads.getHistory", s.thread, {"limit": 2, "before": {"configurable": of(2, 1, "checkpoint")}}],
        ["threads.getState", s.thread, of(2, 1, "checkpoint")],
        ["threads.getState", s.thread, of(2, 1, "checkpoint", "checkpoint_id")],
    ],
    "state is updated": lambda s: [
        ["runs.wait", s.thread, "human", {"input": {"question": "q"}}],
        ["threads.updateState", s.thread, {"values": {"answer": "given"}, "asNode": "ask"}],
        ["threads.getState", s.thread],
        ["runs.wait", s.thread, "human", {"input": None}],
    ],
    "state is updated at a checkpoint": lambda s: [
        ["runs.wait", s.thread, "long", LONG],
        ["threads.getHistory", s.thread, {"limit": 10}],
        ["threads.updateState", s.thread, {"values": {"done": 7}, "checkpoint": of(1, 1, "checkpoint")}],
        ["threads.getState", s.thread],
    ],
    "state of an interrupted subgraph": lambda s: [
        ["runs.wait", s.thread, "subgraph", {"input": {"topic": "t", "ask": True}}],
        ["threads.getState", s.thread, None, {"subgraphs": True}],
    ],
    "threads that are not there": lambda _s: [
        ["threads.get", UNKNOWN],
        ["threads.getState", UNKNOWN],
        ["threads.getHistory", UNKNOWN],
        ["threads.delete", UNKNOWN],
        ["threads.get", "abc"],
    ],
    "wait": lambda s: [["runs.wait", s.thread, "long", LONG], ["threads.get", s.thread]],
    "wait of two turns": lambda s: [
        ["runs.wait", s.thread, "agent", {"input": {"messages": [{"role": "user", "content": "weather in Lima"}]}}],
        ["runs.wait", s.thread, "agent", {"input": {"messages": [{"role": "user", "content": "thanks"}]}}],
    ],
    "wait with a config": lambda s: [
        ["runs.wait", s.thread, "log", {"input": {"n": 1}, "config": {"configurable": {"a": 1}, "tags": ["t"]}}],
    ],
    "wait with a context": lambda s: [
        ["runs.wait", s.thread, "log", {"input": {"n": 1}, "context": {"user_name": "me"}}],
    ],
    "wait with metadata": lambda s: [
        ["runs.wait", s.thread, "long", {**LONG, "metadata": {"m": 1}}],
        ["runs.list", s.thread, {"limit": 1}],
    ],
    "wait on a thread that it makes": lambda s: [
        ["runs.wait", s.tag, "long", {**LONG, "ifNotExists": "create"}],
        ["threads.get", s.tag],
    ],
    "wait stops at a breakpoint": lambda s: [
        ["runs.wait", s.thread, "human", {"input": {"question": "q"}, "interruptBefore": ["ask"]}],
        ["threads.getState", s.thread],
        ["runs.wait", s.thread, "human", {"input": None}],
    ],
    "interrupt and resume": lambda s: [
        ["runs.wait", s.thread, "human", {"input": {"question": "q"}}],
        ["threads.get", s.thread],
        ["runs.wait", s.thread, "human", {"command": {"resume": "yes"}}],
        ["threads.get", s.thread],
    ],
    "interrupt of a subgraph and resume": lambda s: [
        ["runs.wait", s.thread, "subgraph", {"input": {"topic": "t", "ask": True}}],
        ["runs.wait", s.thread, "subgraph", {"command": {"resume": "yes"}}],
    ],
    "wait for a failure": lambda s: [
        ["runs.wait", s.thread, "fail", {"input": {"kind": "ValueError"}, "raiseError": False}],
        ["threads.get", s.thread],
    ],
    "fork": lambda s: [
        ["runs.wait", s.thread, "long", LONG],
        ["threads.getHistory", s.thread, {"limit": 10}],
        ["runs.wait", s.thread, "long", {"input": None, "checkpoint": of(1, 1, "checkpoint")}],
        ["runs.wait", s.thread, "long", {**LONG, "checkpointId": of(1, 1, "checkpoint", "checkpoint_id")}],
    ],
    "run in the background is joined": lambda s: [
        ["runs.create", s.thread, "long", LONG],
        ["runs.join", s.thread, of(0, "run_id")],
        ["runs.get", s.thread, of(0, "run_id")],
        ["runs.list", s.thread, {"limit": 5}],
        ["runs.list", s.thread, {"status": "error"}],
        ["runs.delete", s.thread, of(0, "run_id")],
        ["runs.get", s.thread, of(0, "run_id")],
    ],
    "run is cancelled": lambda s: [
        ["runs.create", s.thread, "long", {"input": {"steps": 40, "seconds": 0.3}}],
        ["runs.cancel", s.thread, of(0, "run_id"), True],
        ["runs.get", s.thread, of(0, "run_id")],
        ["runs.cancel", s.thread, UNKNOWN],
    ],
    "run is rolled back": lambda s: [
        ["runs.wait", s.thread, "long", LONG],
        ["runs.create", s.thread, "long", {"input": {"steps": 40, "seconds": 0.3}}],
        ["runs.cancel", s.thread, of(1, "run_id"), True, "rollback"],
        ["runs.get", s.thread, of(1, "run_id")],
        ["threads.getState", s.thread],
    ],
    "second run is rejected": lambda s: [
        ["runs.create", s.thread, "long", {"input": {"steps": 40, "seconds": 0.3}}],
        ["runs.create", s.thread, "long", {**LONG, "multitaskStrategy": "reject"}],
        ["runs.cancel", s.thread, of(0, "run_id"), True],
    ],
    "second run interrupts": lambda s: [
        ["runs.create", s.thread, "long", {"input": {"steps": 40, "seconds": 0.3}}],
        ["runs.wait", s.thread, "human", {"input": {"question": "q"}, "multitaskStrategy": "interrupt"}],
        ["runs.get", s.thread, of(0, "run_id")],
    ],
    "second run waits its turn": lambda s: [
        ["runs.create", s.thread, "log", {"input": {"n": 1, "seconds": 0.3}}],
        ["runs.wait", s.thread, "log", {"input": {"n": 1, "name": "second", "seconds": 0}}],
    ],
    "runs that are refused": lambda s: [
        ["runs.wait", s.thread, "nope", LONG],
        ["runs.wait", s.thread, UNKNOWN, LONG],
        ["runs.wait", UNKNOWN, "long", LONG],
        ["runs.create", UNKNOWN, "long", LONG],
        ["runs.get", s.thread, UNKNOWN],
        ["runs.create", s.thread, "long", {"multitaskStrategy": "zzz"}],
    ],
    "runs without a thread": lambda _s: [
        ["runs.wait", None, "long", LONG],
        ["runs.stream", None, "long", {**LONG, "streamMode": "updates"}],
        ["runs.create", None, "long", LONG],
        ["runs.createBatch", [{"assistantId": "long", "input": TWO_STEPS}]],
    ],
    **{
        f"stream in mode {mode}": lambda s, mode=mode: [  # type: ignore[misc]
            ["runs.stream", s.thread, "words", {"input": HI, "streamMode": mode}]
        ]
        for mode in MODES
    },
    "stream in two modes": lambda s: [
        ["runs.stream", s.thread, "words", {"input": HI, "streamMode": ["values", "updates"]}],
    ],
    "stream of a subgraph": lambda s: [
        [
            "runs.stream",
            s.thread,
            "subgraph",
            {"input": {"topic": "t"}, "streamMode": "updates", "streamSubgraphs": True},
        ],
    ],
    "stream of an interrupt and its resume": lambda s: [
        ["runs.stream", s.thread, "human", {"input": {"question": "q"}, "streamMode": "updates"}],
        ["runs.stream", s.thread, "human", {"command": {"resume": "yes"}, "streamMode": "updates"}],
    ],
    "stream of a failure": lambda s: [
        ["runs.stream", s.thread, "fail", {"input": {"kind": "ValueError"}, "streamMode": "values"}],
    ],
    "stream is joined": lambda s: [
        ["runs.create", s.thread, "long", {**LONG, "streamResumable": True}],
        ["runs.join", s.thread, of(0, "run_id")],
        ["runs.joinStream", s.thread, of(0, "run_id"), {"lastEventId": "-1"}],
    ],
    "assistant": lambda s: [
        ["assistants.create", {"graphId": "custom", "name": s.tag, "metadata": {"a": 1}}],
        ["assistants.get", of(0, "assistant_id")],
        ["assistants.update", of(0, "assistant_id"), {"metadata": {"b": 2}}],
        ["assistants.search", {"name": s.tag}],
        ["assistants.count", {"name": s.tag}],
        ["assistants.getVersions", of(0, "assistant_id")],
        ["assistants.setLatest", of(0, "assistant_id"), 1],
        ["assistants.delete", of(0, "assistant_id")],
        ["assistants.get", of(0, "assistant_id")],
    ],
    "assistant is described": lambda s: [
        ["assistants.create", {"graphId": "subgraph", "name": s.tag}],
        ["assistants.getGraph", of(0, "assistant_id"), {"xray": True}],
        ["assistants.getSchemas", of(0, "assistant_id")],
        ["assistants.getSubgraphs", of(0, "assistant_id"), {"recurse": True}],
        ["assistants.delete", of(0, "assistant_id")],
    ],
    "assistants that are not there": lambda _s: [
        ["assistants.get", UNKNOWN],
        ["assistants.update", UNKNOWN, {"metadata": {}}],
        ["assistants.delete", UNKNOWN],
        ["assistants.create", {"graphId": "nope"}],
    ],
    "store": lambda s: [
        ["store.putItem", [s.tag, "a"], "k", {"n": 1}],
        ["store.getItem", [s.tag, "a"], "k"],
        ["store.searchItems", [s.tag], {"filter": {"n": 1}}],
        ["store.listNamespaces", {"prefix": [s.tag]}],
        ["store.deleteItem", [s.tag, "a"], "k"],
        ["store.getItem", [s.tag, "a"], "k"],
    ],
    "crons": lambda s: [
        ["crons.create", "long", {"schedule": "0 0 1 1 *", "metadata": {"tag": s.tag}}],
        ["crons.update", of(0, "cron_id"), {"enabled": False}],
        ["crons.search", {"limit": 1000, "metadata": {"tag": s.tag}}],
        ["crons.count", {"metadata": {"tag": s.tag}}],
        ["crons.delete", of(0, "cron_id")],
        ["crons.delete", of(0, "cron_id")],
    ],
    "cron of a thread": lambda s: [
        ["crons.createForThread", s.thread, "long", {"schedule": "0 0 1 1 *"}],
        ["crons.search", {"threadId": s.thread}],
        ["threads.delete", s.thread],
    ],
}


@area.each(PROGRAMS)
def program(s: Session, make: Program) -> None:
    s.javascript(make(s))
