"""`client.runs.stream`, `join_stream` and `client.threads.join_stream`: every mode, resumed or not."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("streaming")

TWO_STEPS = {"steps": 2, "seconds": 0}
MODES = ("values", "updates", "messages", "messages-tuple", "tasks", "checkpoints", "debug", "custom", "events")


@area.each({mode: mode for mode in MODES})
def steps_in_mode(s: Session, mode: str) -> None:
    s.post(f"{s.at}/runs/stream", {"assistant_id": "long", "input": TWO_STEPS, "stream_mode": mode})


@area.each({mode: mode for mode in MODES})
def tokens_in_mode(s: Session, mode: str) -> None:
    given = {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}
    s.post(f"{s.at}/runs/stream", {"assistant_id": "words", "input": given, "stream_mode": mode})


@area.each({mode: mode for mode in ("values", "updates", "messages-tuple", "tasks", "checkpoints", "debug")})
def interrupt_in_mode(s: Session, mode: str) -> None:
    s.post(f"{s.at}/runs/stream", {"assistant_id": "human", "input": {"question": "q"}, "stream_mode": mode})
    s.post(f"{s.at}/runs/stream", {"assistant_id": "human", "command": {"resume": "x"}, "stream_mode": mode})


@area.each({mode: mode for mode in ("values", "updates", "messages-tuple", "tasks", "checkpoints", "debug", "custom")})
def subgraphs_in_mode(s: Session, mode: str) -> None:
    body = {"assistant_id": "subgraph", "input": {"topic": "t"}, "stream_mode": mode, "stream_subgraphs": True}
    s.post(f"{s.at}/runs/stream", body)


@area.each({mode: mode for mode in ("values", "updates", "tasks", "debug")})
def failure_in_mode(s: Session, mode: str) -> None:
    s.post(f"{s.at}/runs/stream", {"assistant_id": "fail", "input": {"kind": "ValueError"}, "stream_mode": mode})
    s.get(s.at)


@area.each(
    {
        "values and updates": ["values", "updates"],
        "updates and custom": ["updates", "custom"],
        "messages-tuple and values": ["messages-tuple", "values"],
        "none": [],
        "unknown": "zzz",
        "one unknown": ["values", "zzz"],
        "tools": "tools",
        "lifecycle": "lifecycle",
        "tools among others": ["values", "tools"],
    }
)
def several_modes(s: Session, modes: Any) -> None:
    given = {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}
    s.post(f"{s.at}/runs/stream", {"assistant_id": "words", "input": given, "stream_mode": modes})


@area.each(
    {
        "tool calls": ("agent", {"messages": [{"role": "user", "content": "weather in Lima", "id": "m1"}]}),
        "an unexpected error": ("fail", {"kind": "CustomError"}),
        "no input": ("long", None),
        "a breakpoint": ("human", {"question": "q"}),
    }
)
def default_mode(s: Session, case: Any) -> None:
    graph, given = case
    s.post(f"{s.at}/runs/stream", {"assistant_id": graph, "input": given})
    s.get(s.at)
    s.get(f"{s.at}/runs")


@area.each(
    {
        "unknown assistant": {"assistant_id": "nope"},
        "unknown assistant id": {"assistant_id": UNKNOWN},
        "no assistant": {},
        "on_disconnect unknown": {"assistant_id": "long", "on_disconnect": "zzz"},
    }
)
def refused(s: Session, body: Any) -> None:
    s.post(f"{s.at}/runs/stream", body)


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def thread_that_is_not_there(s: Session, thread: str) -> None:
    s.post(f"/threads/{thread}/runs/stream", {"assistant_id": "long", "input": TWO_STEPS})


@area.scenario
def thread_is_made_for_a_stream(s: Session) -> None:
    body = {"assistant_id": "long", "input": TWO_STEPS, "if_not_exists": "create"}
    s.post(f"/threads/{s.tag}/runs/stream", body)
    s.get(f"/threads/{s.tag}")


@area.scenario
def resumable_stream_has_ids(s: Session) -> None:
    s.post(f"{s.at}/runs/stream", {"assistant_id": "long", "input": TWO_STEPS, "stream_resumable": True})


@area.scenario
def resumable_stream_is_read_again(s: Session) -> None:
    s.quiet.post(f"{s.at}/runs/stream", {"assistant_id": "long", "input": TWO_STEPS, "stream_resumable": True})
    run = s.quiet.get(f"{s.at}/runs").body[0]["run_id"]
    s.get(f"{s.at}/runs/{run}/stream", headers={"last-event-id": "-1"})


@area.scenario
def finished_run_is_joined(s: Session) -> None:
    run = s.started("long", TWO_STEPS)
    s.until_run(run, "success")
    s.get(f"{s.at}/runs/{run}/stream")


@area.scenario
def running_run_is_joined(s: Session) -> None:
    with s.busy(seconds=0.5, steps=2) as run:
        answer = s.quiet.get(f"{s.at}/runs/{run}/stream")
        assert answer.status == 200
        assert answer.body[-1]["event"] == "values"
        assert answer.body[-1]["data"]["done"] == 2


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def run_that_is_not_there_is_joined(s: Session, run: str) -> None:
    s.get(f"{s.at}/runs/{run}/stream")


@area.scenario
def second_stream_is_rejected(s: Session) -> None:
    with s.busy(steps=40) as run:
        body = {"assistant_id": "long", "input": TWO_STEPS, "multitask_strategy": "reject"}
        s.post(f"{s.at}/runs/stream", body)
        s.quiet.post(f"{s.at}/runs/{run}/cancel", params={"wait": "true"})


@area.scenario
def stream_of_a_cancelled_run_ends(s: Session) -> None:
    with s.busy(seconds=0.3, steps=40) as run:
        s.quiet.post(f"{s.at}/runs/{run}/cancel", params={"wait": "true"})
        s.get(f"{s.at}/runs/{run}/stream")
