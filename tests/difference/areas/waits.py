"""`client.runs.wait` on a thread: every field of its body, and what becomes of a run."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session, assistant

area = Area("wait")

TWO_STEPS = {"steps": 2, "seconds": 0}


@area.each(
    {
        "a graph's name": "long",
        "an id": assistant("long"),
        "an unknown name": "nope",
        "an unknown id": UNKNOWN,
        "null": None,
        "a number": 5,
        "empty": "",
    }
)
def assistant_given_by(s: Session, assistant_id: Any) -> None:
    s.post(f"{s.at}/runs/wait", {"assistant_id": assistant_id, "input": TWO_STEPS})


@area.scenario
def assistant_missing(s: Session) -> None:
    s.post(f"{s.at}/runs/wait", {"input": TWO_STEPS})


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def thread_missing(s: Session, thread: str) -> None:
    s.post(f"/threads/{thread}/runs/wait", {"assistant_id": "long", "input": TWO_STEPS})


@area.scenario
def thread_made_for_the_run(s: Session) -> None:
    body = {"assistant_id": "long", "input": TWO_STEPS, "if_not_exists": "create", "metadata": {"m": 1}}
    s.post(f"/threads/{s.tag}/runs/wait", {**body, "config": {"metadata": {"c": 2}}})
    s.get(f"/threads/{s.tag}")


@area.scenario
def thread_that_is_there_already_is_not_made(s: Session) -> None:
    s.wait("long", TWO_STEPS, if_not_exists="create", metadata={"m": 1})
    s.get(s.at)


@area.each(
    {
        "an object": {"input": TWO_STEPS},
        "nothing": {},
        "null": {"input": None},
        "empty": {"input": {}},
        "a string": {"input": "x"},
        "a list": {"input": [1]},
        "a number": {"input": 1},
        "keys that the graph does not know": {"input": {"zzz": 1}},
    }
)
def given(s: Session, fields: Any) -> None:
    s.wait("long", **fields)
    s.get(s.at)


@area.each(
    {
        "ValueError": "ValueError",
        "TypeError": "TypeError",
        "KeyError": "KeyError",
        "AttributeError": "AttributeError",
        "RuntimeError": "RuntimeError",
        "RecursionError": "RecursionError",
        "TimeoutError": "TimeoutError",
        "OSError": "OSError",
        "ZeroDivisionError": "ZeroDivisionError",
        "a class of its own": "CustomError",
    }
)
def graph_raises(s: Session, kind: str) -> None:
    s.wait("fail", {"kind": kind})
    s.get(s.at)


@area.scenario
def failed_run_is_tried_again_without_input(s: Session) -> None:
    s.ran("fail", {"kind": "ValueError"})
    s.wait("fail", None)
    s.wait("fail", {"kind": ""})
    s.get(s.at)


@area.scenario
def finished_thread_without_input_stays_as_it_is(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    s.wait("long", None)
    s.post(f"{s.at}/history", {"limit": 20})


@area.each(
    {
        "a value": {"resume": "yes"},
        "an object": {"resume": {"a": 1}},
        "false": {"resume": False},
        "an unknown interrupt": {"resume": {"0" * 32: "yes"}},
        "an update": {"resume": "yes", "update": {"question": "changed"}},
        "an update alone": {"update": {"question": "changed"}},
        "a jump": {"goto": "finish"},
        "a jump to several": {"goto": ["finish"]},
        "a jump with input": {"goto": {"node": "finish", "input": {"question": "sent"}}},
        "a jump to nowhere": {"goto": "nope"},
        "nothing": {},
        "null": None,
        "a string": "x",
        "nothing but nulls": {"resume": None, "update": None, "goto": None},
    }
)
def command(s: Session, given: Any) -> None:
    s.ran("human", {"question": "q"})
    s.wait("human", command=given)
    s.get(s.at)


@area.scenario
def interrupt_is_repeated_without_input(s: Session) -> None:
    s.wait("human", {"question": "q"})
    s.wait("human", None)


@area.scenario
def interrupt_is_answered_by_its_id(s: Session) -> None:
    asked = s.wait("human", {"question": "q"})["__interrupt__"][0]["id"]
    s.wait("human", command={"resume": {asked: "by id"}})
    s.get(s.at)


@area.scenario
def interrupted_thread_with_new_input_starts_again(s: Session) -> None:
    s.ran("human", {"question": "q"})
    s.wait("human", {"question": "other"})
    s.get(f"{s.at}/state")


@area.scenario
def resume_of_a_finished_thread_changes_nothing(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    s.wait("long", command={"resume": 1})


@area.scenario
def resume_of_a_thread_that_never_ran(s: Session) -> None:
    s.wait("human", command={"resume": 1})


@area.scenario
def interrupt_in_a_subgraph_is_answered(s: Session) -> None:
    s.wait("subgraph", {"topic": "t", "ask": True})
    s.wait("subgraph", command={"resume": "x"})


@area.each(
    {
        "tags, limit and metadata": {
            "tags": ["t"],
            "recursion_limit": 30,
            "metadata": {"m": 1},
            "configurable": {"k": 1},
        },
        "null": None,
        "a string": "x",
        "tags a string": {"tags": "x"},
        "tags of numbers": {"tags": [1]},
        "tags null": {"tags": None},
        "configurable a string": {"configurable": "x"},
        "configurable null": {"configurable": None},
        "limit 0": {"recursion_limit": 0},
        "limit too small": {"recursion_limit": 1},
        "limit a string": {"recursion_limit": "5"},
        "limit a fraction": {"recursion_limit": 1.5},
        "limit true": {"recursion_limit": True},
        "metadata null": {"metadata": None},
        "an unknown field": {"zzz": 1},
        "a thread of its own": {"configurable": {"thread_id": UNKNOWN}},
    }
)
def config(s: Session, value: Any) -> None:
    s.wait("log", {"n": 1}, config=value)


@area.each(
    {
        "fields": {"context": {"user_name": "ann", "tone": "kind"}},
        "unknown fields": {"context": {"user_name": "ann", "zzz": 1}},
        "of the wrong type": {"context": {"user_name": 5}},
        "empty": {"context": {}},
        "null": {"context": None},
        "a string": {"context": "x"},
        "in configurable": {"config": {"configurable": {"user_name": "bob"}}},
        "beside configurable": {"context": {"user_name": "ann"}, "config": {"configurable": {"a": 1}}},
    }
)
def context(s: Session, fields: Any) -> None:
    s.wait("custom", {"text": "x"}, **fields)


@area.each(
    {
        "values": "values",
        "updates": "updates",
        "several": ["values", "updates"],
        "messages": "messages",
        "events": "events",
        "debug": "debug",
        "unknown": "zzz",
        "none": [],
    }
)
def stream_mode(s: Session, mode: Any) -> None:
    s.wait("human", {"question": "q"}, stream_mode=mode)


@area.each(
    {
        "on_disconnect continue": {"on_disconnect": "continue"},
        "on_disconnect unknown": {"on_disconnect": "zzz"},
        "multitask_strategy unknown": {"multitask_strategy": "zzz"},
        "if_not_exists unknown": {"if_not_exists": "zzz"},
        "durability unknown": {"durability": "zzz"},
        "durability sync": {"durability": "sync"},
        "durability exit": {"durability": "exit"},
        "checkpoint_during false": {"checkpoint_during": False},
        "stream_subgraphs": {"stream_subgraphs": True},
        "stream_subgraphs a string": {"stream_subgraphs": "x"},
        "stream_resumable": {"stream_resumable": True},
        "webhook relative": {"webhook": "/nowhere"},
        "webhook loopback": {"webhook": "http://127.0.0.1:9/x"},
        "webhook empty": {"webhook": ""},
        "metadata a string": {"metadata": "x"},
        "metadata": {"metadata": {"m": 1}},
        "after_seconds a string": {"after_seconds": "x"},
        "an unknown field": {"zzz": 1},
    }
)
def field(s: Session, fields: Any) -> None:
    s.wait("long", TWO_STEPS, **fields)
    s.get(f"{s.at}/runs")


@area.each(
    {
        "optional fields null": {"metadata": None, "webhook": None, "multitask_strategy": None},
        "interrupt_before null": {"interrupt_before": None},
        "stream": {"stream": False},
        "on_completion": {"on_completion": "keep"},
        "langsmith_tracer": {"langsmith_tracer": {"project_name": "a"}},
        "strict_resume": {"strict_resume": True},
        "strict_resume false": {"strict_resume": False, "langsmith_tracer": {}},
    }
)
def page_above_the_reference(s: Session, fields: Any) -> None:
    s.wait("long", TWO_STEPS, **fields)


@area.each(
    {
        "before a node": {"interrupt_before": ["finish"]},
        "after a node": {"interrupt_after": ["ask"]},
        "before all": {"interrupt_before": "*"},
        "after all": {"interrupt_after": "*"},
        "before an unknown node": {"interrupt_before": ["nope"]},
        "before a number": {"interrupt_before": [1]},
        "before a bare node": {"interrupt_before": "finish"},
    }
)
def breakpoint_stops(s: Session, fields: Any) -> None:
    s.wait("human", {"question": "q"}, **fields)
    s.wait("human", command={"resume": 1}, **fields)
    s.get(s.at)
    s.get(f"{s.at}/state")
    s.wait("human", None)


@area.scenario
def replay_from_a_checkpoint(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    checkpoint = s.history()[1]["checkpoint"]["checkpoint_id"]
    s.wait("long", None, checkpoint_id=checkpoint)
    s.post(f"{s.at}/history", {"limit": 20})


@area.scenario
def branch_from_a_checkpoint(s: Session) -> None:
    s.ran("long", TWO_STEPS)
    checkpoint = s.history()[2]["checkpoint"]
    s.wait("long", {"steps": 1, "seconds": 0}, checkpoint=checkpoint)
    s.post(f"{s.at}/history", {"limit": 20})


@area.each({"unknown": {"checkpoint_id": UNKNOWN}, "no UUID": {"checkpoint_id": "abc"}, "empty": {"checkpoint_id": ""}})
def checkpoint(s: Session, fields: Any) -> None:
    s.ran("long", TWO_STEPS)
    s.wait("long", None, **fields)
    s.get(f"{s.at}/state")


@area.scenario
def two_turns_are_one_conversation(s: Session) -> None:
    for number, text in enumerate(("What is the weather in Lima?", "thanks")):
        s.wait("agent", {"messages": [{"role": "user", "content": text, "id": f"m{number}"}]})
    s.get(f"{s.at}/state")


@area.each(
    {
        "role and content": [{"role": "user", "content": "hi"}],
        "type and content": [{"type": "human", "content": "hi"}],
        "a pair": [["user", "hi"]],
        "a string": "hi",
        "parts": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "an unknown role": [{"role": "zzz", "content": "hi"}],
        "the ai's": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "name": "bot"}],
    }
)
def messages(s: Session, value: Any) -> None:
    s.wait("agent", {"messages": value})


@area.scenario
def store_reaches_the_graph(s: Session) -> None:
    s.wait("notes", {"place": s.tag, "note": "first"})
    s.wait("notes", {"place": s.tag, "note": "second"})
    s.get("/store/items", params={"namespace": s.tag, "key": "first"})


@area.scenario
def two_interrupts_are_answered_one_by_one(s: Session) -> None:
    s.ran("pair", {})
    names = [one["id"] for task in s.quiet.get(s.at)["interrupts"].values() for one in task]
    for name, answer in zip(names, "ab", strict=True):
        s.wait("pair", command={"resume": {name: answer}})
        s.get(s.at)
