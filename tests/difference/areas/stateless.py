"""`client.runs` without a thread: wait, create, batch, stream."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("stateless")

ONE_STEP = {"steps": 1, "seconds": 0}


@area.each(
    {
        "finishes": {"assistant_id": "long", "input": ONE_STEP},
        "interrupts": {"assistant_id": "human", "input": {"question": "q"}},
        "fails": {"assistant_id": "fail", "input": {"kind": "ValueError"}},
        "keeps its thread": {"assistant_id": "long", "input": ONE_STEP, "on_completion": "keep"},
        "has an unknown assistant": {"assistant_id": "nope"},
        "has an unknown assistant id": {"assistant_id": UNKNOWN},
        "has no assistant": {"input": {}},
        "has no input": {"assistant_id": "long"},
        "resumes": {"assistant_id": "human", "command": {"resume": 1}},
        "updates": {"assistant_id": "human", "command": {"update": {"question": "q"}}},
        "on_completion unknown": {"assistant_id": "long", "input": ONE_STEP, "on_completion": "zzz"},
        "has config": {
            "assistant_id": "custom",
            "input": {"text": "x"},
            "config": {"configurable": {"user_name": "bob"}},
        },
        "has a context": {"assistant_id": "custom", "input": {"text": "x"}, "context": {"user_name": "ann"}},
        "durability exit": {"assistant_id": "long", "input": ONE_STEP, "durability": "exit"},
    }
)
def wait(s: Session, body: Any) -> None:
    s.post("/runs/wait", body)


@area.scenario
def thread_is_gone_after_a_wait(s: Session) -> None:
    answer = s.quiet.post("/runs/wait", {"assistant_id": "long", "input": ONE_STEP})
    s.until(answer.headers["content-location"].partition("/runs")[0], lambda thread: "detail" in thread)


@area.scenario
def thread_that_is_kept_can_be_read(s: Session) -> None:
    body = {"assistant_id": "long", "input": ONE_STEP, "on_completion": "keep"}
    answer = s.quiet.post("/runs/wait", body)
    thread = answer.headers["content-location"].partition("/runs")[0]
    s.get(thread)
    s.get(f"{thread}/state")
    s.get(f"{thread}/runs")


@area.each(
    {
        "finishes": {"assistant_id": "long", "input": ONE_STEP},
        "keeps its thread": {"assistant_id": "long", "input": ONE_STEP, "on_completion": "keep"},
        "has an unknown assistant": {"assistant_id": "nope"},
        "comes later": {"assistant_id": "long", "input": ONE_STEP, "after_seconds": 30},
    }
)
def create(s: Session, body: Any) -> None:
    s.post("/runs", body)


@area.scenario
def created_run_is_joined(s: Session) -> None:
    run = s.quiet.post("/runs", {"assistant_id": "long", "input": {"steps": 2, "seconds": 0.3}})
    s.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}/join")


@area.each(
    {
        "two": [{"assistant_id": "long", "input": ONE_STEP}, {"assistant_id": "human", "input": {"question": "q"}}],
        "one": [{"assistant_id": "long", "input": ONE_STEP}],
        "none": [],
        "one that is unknown": [{"assistant_id": "long", "input": ONE_STEP}, {"assistant_id": "nope"}],
        "no list": {"assistant_id": "long"},
        "one that is no object": ["x"],
    }
)
def batch(s: Session, body: Any) -> None:
    s.post("/runs/batch", body)


@area.each(
    {
        "finishes": {"assistant_id": "long", "input": ONE_STEP},
        "updates": {"assistant_id": "long", "input": ONE_STEP, "stream_mode": "updates"},
        "fails": {"assistant_id": "fail", "input": {"kind": "ValueError"}},
        "has an unknown assistant": {"assistant_id": "nope"},
        "resumes": {"assistant_id": "human", "command": {"resume": 1}},
    }
)
def stream(s: Session, body: Any) -> None:
    s.post("/runs/stream", body)
