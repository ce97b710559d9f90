"""`client.threads`: the state of a thread now and before, and changes to it."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("state")

TWO_STEPS = {"steps": 2, "seconds": 0}


@area.scenario
def state_of_a_thread_that_never_ran(s: Session) -> None:
    s.get(f"{s.at}/state")
    s.get(f"{s.at}/history")
    s.post(f"{s.at}/history", {})


@area.each(
    {
        "finished": ("long", TWO_STEPS),
        "interrupted": ("human", {"question": "q"}),
        "failed": ("fail", {"kind": "ValueError"}),
        "with messages": ("agent", {"messages": [{"role": "user", "content": "weather in Lima", "id": "m1"}]}),
        "interrupted in a subgraph": ("subgraph", {"topic": "t", "ask": True}),
    }
)
def state_after_a_run(s: Session, case: Any) -> None:
    s.ran(*case)
    s.get(f"{s.at}/state")


@area.scenario
def state_with_subgraphs(s: Session) -> None:
    s.ran("subgraph", {"topic": "t", "ask": True})
    s.get(f"{s.at}/state", params={"subgraphs": "true"})


@area.scenario
def state_at_a_breakpoint(s: Session) -> None:
    s.ran("human", {"question": "q"}, interrupt_before=["finish"])
    s.ran("human", command={"resume": 1}, interrupt_before=["finish"])
    s.get(f"{s.at}/state")


@area.scenario
def state_while_a_run_is_under_way(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.until(f"{s.at}/state", lambda state: (state["values"] or {}).get("done", 0) >= 1)
        answer = s.quiet.get(f"{s.at}/state")
        assert answer["next"] == ["tick"]
        s.quiet.post(f"{s.at}/runs/{run}/cancel")


@area.scenario
def state_at_each_checkpoint(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    for one in s.history():
        s.get(f"{s.at}/state/{one['checkpoint']['checkpoint_id']}")


@area.scenario
def state_at_a_checkpoint_by_post(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    for one in s.history()[1:3]:
        s.post(f"{s.at}/state/checkpoint", {"checkpoint": one["checkpoint"]})


@area.scenario
def state_of_a_subgraph_by_post(s: Session) -> None:
    s.ran("subgraph", {"topic": "t", "ask": True})
    task = s.quiet.get(f"{s.at}/state")["tasks"][0]
    s.post(f"{s.at}/state/checkpoint", {"checkpoint": task["checkpoint"], "subgraphs": True})
    s.post(f"{s.at}/history", {"checkpoint": task["checkpoint"], "limit": 10})


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def state_at_a_checkpoint_that_is_not_there(s: Session, checkpoint: str) -> None:
    s.ran("long", TWO_STEPS)
    s.get(f"{s.at}/state/{checkpoint}")
    s.post(f"{s.at}/state/checkpoint", {"checkpoint": {"checkpoint_id": checkpoint}})


@area.each({"no checkpoint": {}, "a string": {"checkpoint": "x"}, "null": {"checkpoint": None}})
def state_at_what_is_no_checkpoint(s: Session, body: Any) -> None:
    s.post(f"{s.at}/state/checkpoint", body)


@area.each(
    {
        "default": {},
        "limit": {"limit": 2},
        "limit none": {"limit": 0},
        "limit too large": {"limit": 1001},
        "limit negative": {"limit": -1},
        "limit a string": {"limit": "x"},
        "by source": {"limit": 10, "metadata": {"source": "input"}},
        "by step": {"limit": 10, "metadata": {"step": 1}},
        "by what none has": {"limit": 10, "metadata": {"zzz": 1}},
        "metadata a string": {"metadata": "x"},
    }
)
def history_by_post(s: Session, body: Any) -> None:
    s.ran("long", TWO_STEPS)
    s.post(f"{s.at}/history", body)


@area.each(
    {
        "default": {},
        "limit": {"limit": "2"},
        "limit none": {"limit": "0"},
        "limit a word": {"limit": "x"},
        "limit too large": {"limit": "1001"},
    }
)
def history_by_get(s: Session, query: Any) -> None:
    s.ran("long", TWO_STEPS)
    s.get(f"{s.at}/history", params=query)


@area.each({"a field": ["next"], "a value": ["values.done"], "an unknown field": ["zzz"]})
def select(s: Session, names: list[str]) -> None:
    s.ran("long", TWO_STEPS)
    s.get(f"{s.at}/state", params={"select": names})
    s.post(f"{s.at}/history", {"limit": 2, "select": names})


@area.scenario
def history_before_a_checkpoint(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    checkpoint = s.history()[1]["checkpoint"]["checkpoint_id"]
    s.get(f"{s.at}/history", params={"before": checkpoint})
    s.post(f"{s.at}/history", {"limit": 10, "before": {"configurable": {"checkpoint_id": checkpoint}}})


@area.scenario
def history_before_a_checkpoint_object(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    s.post(f"{s.at}/history", {"limit": 10, "before": s.history()[1]["checkpoint"]})


@area.scenario
def history_of_two_runs(s: Session) -> None:
    s.ran("long", {"steps": 1, "seconds": 0})
    s.ran("long", {"steps": 1, "seconds": 0})
    s.post(f"{s.at}/history", {"limit": 20})


@area.scenario
def history_of_a_run_with_one_checkpoint(s: Session) -> None:
    s.ran("long", TWO_STEPS, durability="exit")
    s.post(f"{s.at}/history", {"limit": 20})


@area.scenario
def update_after_a_run(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    s.post(f"{s.at}/state", {"values": {"done": 9}})
    s.get(f"{s.at}/state")
    s.get(s.at)
    s.post(f"{s.at}/history", {"limit": 1})


@area.scenario
def update_as_a_node(s: Session) -> None:
    s.ran("human", {"question": "q"})
    s.post(f"{s.at}/state", {"values": {"answer": "by hand"}, "as_node": "ask"})
    s.get(f"{s.at}/state")
    s.post(f"{s.at}/runs/wait", {"assistant_id": "human", "input": None})


@area.scenario
def update_at_a_checkpoint(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    checkpoint = s.history()[1]["checkpoint"]
    s.post(f"{s.at}/state", {"values": {"done": 0}, "checkpoint": checkpoint})
    s.get(f"{s.at}/state")
    s.post(f"{s.at}/state", {"values": {"done": 5}, "checkpoint_id": checkpoint["checkpoint_id"]})
    s.get(f"{s.at}/state")


@area.scenario
def update_as_the_end(s: Session) -> None:
    s.ran("human", {"question": "q"})
    s.post(f"{s.at}/state", {"values": None, "as_node": "__end__"})
    s.get(f"{s.at}/state")
    s.get(s.at)


@area.scenario
def update_with_nothing(s: Session) -> None:
    s.ran("human", {"question": "q"})
    s.post(f"{s.at}/state", {"values": None})
    s.get(f"{s.at}/state")


@area.scenario
def update_of_messages_removes_and_appends(s: Session) -> None:
    s.ran("agent", {"messages": [{"role": "user", "content": "hello", "id": "m1"}]})
    s.post(f"{s.at}/state", {"values": {"messages": [{"type": "remove", "id": "m1", "content": ""}]}})
    s.post(f"{s.at}/state", {"values": {"messages": [{"type": "human", "id": "m2", "content": "again"}]}})
    s.get(f"{s.at}/state")


@area.each(
    {
        "unknown node": {"values": {"done": 1}, "as_node": "nope"},
        "values a list of objects": {"values": [{"done": 1}, {"done": 2}]},
        "values a string": {"values": "x"},
        "values missing": {},
        "unknown key": {"values": {"zzz": 1}},
        "unknown checkpoint": {"values": {"done": 1}, "checkpoint": {"checkpoint_id": UNKNOWN}},
        "checkpoint a string": {"values": {"done": 1}, "checkpoint": "x"},
        "checkpoint_id no UUID": {"values": {"done": 1}, "checkpoint_id": "abc"},
    }
)
def update(s: Session, body: Any) -> None:
    s.ran("long", TWO_STEPS)
    s.post(f"{s.at}/state", body)
    s.get(f"{s.at}/state")


@area.scenario
def update_of_a_thread_without_a_graph(s: Session) -> None:
    s.post(f"{s.at}/state", {"values": {"done": 1}})


@area.scenario
def update_of_a_thread_that_only_names_its_graph(s: Session) -> None:
    s.quiet.patch(s.at, {"metadata": {"graph_id": "long"}})
    s.post(f"{s.at}/state", {"values": {"done": 1}})
    s.get(f"{s.at}/state")
    s.get(s.at)


@area.scenario
def update_while_a_run_is_under_way(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.post(f"{s.at}/state", {"values": {"done": 1}})
        s.quiet.post(f"{s.at}/runs/{run}/cancel")


@area.scenario
def update_of_unknown_threads(s: Session) -> None:
    s.post(f"/threads/{UNKNOWN}/state", {"values": {"done": 1}})
    s.post("/threads/abc/state", {"values": {"done": 1}})


@area.scenario
def patch_of_the_state_is_not_served(s: Session) -> None:
    s.patch(f"{s.at}/state", {"metadata": {"a": 1}})
