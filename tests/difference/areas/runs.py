"""`client.runs` on a thread: create, list, get, join, cancel, delete, and runs that meet on one thread."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("runs")

ONE_STEP = {"steps": 1, "seconds": 0}


@area.scenario
def create_in_the_background(s: Session) -> None:
    run = s.post(f"{s.at}/runs", {"assistant_id": "long", "input": ONE_STEP, "metadata": {"m": 1}})["run_id"]
    s.until_run(run, "success")
    s.get(f"{s.at}/runs/{run}")
    s.get(f"{s.at}/state")


@area.each(
    {
        "unknown assistant": {"assistant_id": "nope"},
        "unknown assistant id": {"assistant_id": UNKNOWN},
        "no assistant": {},
        "strategy unknown": {"assistant_id": "long", "multitask_strategy": "zzz"},
        "after_seconds negative": {"assistant_id": "long", "input": ONE_STEP, "after_seconds": -1},
        "webhook loopback": {"assistant_id": "long", "webhook": "http://127.0.0.1:9/x"},
    }
)
def create_is_refused(s: Session, body: Any) -> None:
    s.post(f"{s.at}/runs", body)


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def create_on_a_thread_that_is_not_there(s: Session, thread: str) -> None:
    s.post(f"/threads/{thread}/runs", {"assistant_id": "long", "input": ONE_STEP})


@area.scenario
def create_with_a_thread(s: Session) -> None:
    s.post(f"/threads/{s.tag}/runs", {"assistant_id": "long", "input": ONE_STEP, "if_not_exists": "create"})
    s.until(f"/threads/{s.tag}", lambda thread: thread["status"] == "idle")
    s.get(f"/threads/{s.tag}")


@area.scenario
def create_for_later(s: Session) -> None:
    run = s.post(f"{s.at}/runs", {"assistant_id": "long", "input": ONE_STEP, "after_seconds": 60})["run_id"]
    s.get(s.at)
    s.get(f"{s.at}/runs/{run}")
    s.post(f"{s.at}/runs/{run}/cancel")
    s.get(f"{s.at}/runs/{run}")


@area.scenario
def create_for_soon(s: Session) -> None:
    run = s.started("long", ONE_STEP, after_seconds=1)
    s.until_run(run, "success")
    s.get(f"{s.at}/runs/{run}")


@area.each(
    {
        "all": {},
        "limit": {"limit": "1"},
        "offset": {"limit": "1", "offset": "1"},
        "offset beyond the end": {"offset": "9"},
        "limit none": {"limit": "0"},
        "limit a word": {"limit": "x"},
        "limit negative": {"limit": "-1"},
        "status success": {"status": "success"},
        "status error": {"status": "error"},
        "status unknown": {"status": "zzz"},
        "select": {"select": ["run_id", "status"]},
        "select something unknown": {"select": ["zzz"]},
    }
)
def list_of_runs(s: Session, query: Any) -> None:
    s.ran("long", ONE_STEP, metadata={"n": 1})
    s.ran("fail", {"kind": "ValueError"}, metadata={"n": 2})
    s.get(f"{s.at}/runs", params=query)


@area.scenario
def list_shows_what_each_run_was_given(s: Session) -> None:
    s.ran("human", {"question": "q"}, config={"tags": ["t"], "configurable": {"k": 1}}, interrupt_before=["finish"])
    s.ran("human", command={"resume": "x"}, metadata={"m": 1}, stream_mode=["updates", "values"])
    s.get(f"{s.at}/runs")


@area.scenario
def run_that_is_not_there(s: Session) -> None:
    for path in (f"{s.at}/runs/{UNKNOWN}", f"{s.at}/runs/abc", f"/threads/{UNKNOWN}/runs/{UNKNOWN}"):
        s.get(path)
        s.delete(path)
        s.post(f"{path}/cancel")


@area.scenario
def run_of_another_thread(s: Session) -> None:
    s.ran("long", ONE_STEP)
    run = s.quiet.get(f"{s.at}/runs").body[0]["run_id"]
    other = s.quiet.post("/threads", {})["thread_id"]
    s.get(f"/threads/{other}/runs/{run}")
    s.delete(f"/threads/{other}/runs/{run}")
    s.post(f"/threads/{other}/runs/{run}/cancel")


@area.scenario
def join_of_a_run_under_way(s: Session) -> None:
    run = s.started("long", {"steps": 2, "seconds": 0.2})
    s.get(f"{s.at}/runs/{run}/join")
    s.get(f"{s.at}/runs/{run}")


@area.scenario
def join_of_a_finished_run(s: Session) -> None:
    run = s.started("long", ONE_STEP)
    s.until_run(run, "success")
    s.get(f"{s.at}/runs/{run}/join")


@area.scenario
def join_of_a_failed_run(s: Session) -> None:
    run = s.started("fail", {"kind": "ValueError"})
    s.until_run(run, "error")
    s.get(f"{s.at}/runs/{run}/join")


@area.scenario
def join_of_an_interrupted_run(s: Session) -> None:
    run = s.started("human", {"question": "q"})
    s.until_run(run, "success")
    s.get(f"{s.at}/runs/{run}/join")


@area.scenario
def join_of_an_earlier_run(s: Session) -> None:
    run = s.started("log", {"n": 1, "name": "one"})
    s.until_run(run, "success")
    s.ran("log", {"n": 1, "name": "two"})
    s.get(f"{s.at}/runs/{run}/join")


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def join_of_what_is_not_there(s: Session, run: str) -> None:
    s.get(f"{s.at}/runs/{run}/join")
    s.get(f"/threads/{UNKNOWN}/runs/{run}/join")


@area.scenario
def cancel_of_a_run_under_way(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.post(f"{s.at}/runs/{run}/cancel")
        s.until_thread("interrupted", "idle", "error")
        s.get(f"{s.at}/runs/{run}")
        thread = s.quiet.get(s.at)
        assert thread["status"] == "interrupted"


@area.scenario
def cancel_that_waits(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.post(f"{s.at}/runs/{run}/cancel", params={"wait": "true"})
        s.get(f"{s.at}/runs/{run}")


@area.scenario
def cancel_that_undoes(s: Session) -> None:
    s.ran("long", ONE_STEP)
    with s.busy(steps=40) as run:
        s.post(f"{s.at}/runs/{run}/cancel", params={"wait": "true", "action": "rollback"})
        s.get(f"{s.at}/runs/{run}")
    s.until_thread("idle")
    s.get(f"{s.at}/state")
    s.get(f"{s.at}/runs")


@area.scenario
def cancel_of_a_finished_run(s: Session) -> None:
    run = s.started("long", ONE_STEP)
    s.until_run(run, "success")
    s.post(f"{s.at}/runs/{run}/cancel")
    s.post(f"{s.at}/runs/{run}/cancel", params={"action": "zzz"})


@area.scenario
def cancelled_thread_goes_on(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.quiet.post(f"{s.at}/runs/{run}/cancel", params={"wait": "true"})
    s.wait("long", {"steps": 1, "seconds": 0, "done": 0})
    s.get(s.at)


@area.scenario
def cancel_of_several(s: Session) -> None:
    with s.busy(steps=40) as run:
        queued = s.started("long", ONE_STEP)
        s.post("/runs/cancel", {"thread_id": s.thread, "run_ids": [run, queued]})
        s.until_run(run, "interrupted")
        s.until_run(queued, "interrupted")
        s.get(f"{s.at}/runs")


@area.scenario
def cancel_by_status(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.quiet.post("/runs/cancel", {"thread_id": s.thread, "run_ids": [run]})
        s.until_run(run, "interrupted")
    s.post("/runs/cancel", {"thread_id": s.thread, "run_ids": [run]})
    s.post("/runs/cancel", {"thread_id": s.thread, "run_ids": [UNKNOWN]})


@area.each(
    {
        "nothing": {},
        "ids without a thread": {"run_ids": [UNKNOWN]},
        "no ids": {"thread_id": UNKNOWN},
        "ids and status": {"thread_id": UNKNOWN, "run_ids": [UNKNOWN], "status": "all"},
        "ids of no UUID": {"thread_id": UNKNOWN, "run_ids": ["abc"]},
        "an unknown status": {"status": "zzz"},
        "a thread that is no UUID": {"thread_id": "abc", "run_ids": [UNKNOWN]},
    }
)
def cancel_of_several_is_refused(s: Session, body: Any) -> None:
    s.post("/runs/cancel", body)


@area.scenario
def delete_of_a_finished_run(s: Session) -> None:
    run = s.started("long", ONE_STEP)
    s.until_run(run, "success")
    s.delete(f"{s.at}/runs/{run}")
    s.get(f"{s.at}/runs/{run}")
    s.get(f"{s.at}/state")
    s.delete(f"{s.at}/runs/{run}")


@area.scenario
def delete_of_a_run_under_way(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.delete(f"{s.at}/runs/{run}")
        s.get(f"{s.at}/runs/{run}")


@area.scenario
def second_run_is_rejected(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.post(f"{s.at}/runs", {"assistant_id": "long", "input": ONE_STEP, "multitask_strategy": "reject"})
        s.wait("long", ONE_STEP, multitask_strategy="reject")
        s.quiet.post(f"{s.at}/runs/{run}/cancel", params={"wait": "true"})


@area.scenario
def second_run_waits_its_turn(s: Session) -> None:
    with s.busy(seconds=0.3, steps=2) as run:
        second = s.post(f"{s.at}/runs", {"assistant_id": "long", "input": ONE_STEP})["run_id"]
        s.until_run(second, "success")
        s.get(f"{s.at}/runs/{run}")
    s.get(f"{s.at}/runs/{second}")
    s.get(f"{s.at}/state")


@area.scenario
def second_run_interrupts_the_first(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.wait("long", {"steps": 1, "seconds": 0, "done": 0}, multitask_strategy="interrupt")
        s.get(f"{s.at}/runs/{run}")
    s.get(s.at)


@area.scenario
def second_run_rolls_the_first_back(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.wait("long", {"steps": 1, "seconds": 0}, multitask_strategy="rollback")
        s.get(f"{s.at}/runs/{run}")
    s.get(f"{s.at}/runs")
    s.post(f"{s.at}/history", {"limit": 20})
