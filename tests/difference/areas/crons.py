"""`client.crons`: create, read, change, search, count, delete; no cron of these comes due while it lives."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("crons")

NEW_YEAR = {"assistant_id": "long", "schedule": "0 0 1 1 *"}


@area.each(
    {
        "a schedule": {},
        "input and metadata": {"input": {"steps": 1}, "metadata": {"a": 1}},
        "config and context": {"config": {"configurable": {"k": 1}}},
        "a timezone": {"timezone": "Europe/Oslo"},
        "an unknown timezone": {"timezone": "Mars/Base"},
        "an end": {"end_time": "2099-01-01T00:00:00+00:00"},
        "an end that is no time": {"end_time": "x"},
        "not enabled": {"enabled": False},
        "on_run_completed keep": {"on_run_completed": "keep"},
        "on_run_completed unknown": {"on_run_completed": "zzz"},
        "a strategy": {"multitask_strategy": "reject"},
        "an unknown assistant": {"assistant_id": "nope"},
        "an unknown assistant id": {"assistant_id": UNKNOWN},
        "a schedule that is none": {"schedule": "x"},
        "a schedule of six fields": {"schedule": "0 0 1 1 * 0"},
        "a schedule that never comes": {"schedule": "0 0 31 2 *"},
        "a schedule that is null": {"schedule": None},
        "a webhook to loopback": {"webhook": "http://127.0.0.1:9/x"},
        "interrupts": {"interrupt_before": ["tick"], "interrupt_after": "*"},
        "an unknown field": {"zzz": 1},
    }
)
def create(s: Session, fields: Any) -> None:
    made = s.post("/runs/crons", {**NEW_YEAR, **fields})
    if made.status == 200:
        s.quiet.delete(f"/runs/crons/{made['cron_id']}")


@area.scenario
def create_without_an_assistant(s: Session) -> None:
    s.post("/runs/crons", {"schedule": "0 0 1 1 *"})


@area.scenario
def create_for_a_thread(s: Session) -> None:
    made = s.post(f"{s.at}/runs/crons", {**NEW_YEAR, "input": {"steps": 1}, "metadata": {"a": 1}})
    s.get(f"/runs/crons/{made['cron_id']}")
    s.delete(f"/runs/crons/{made['cron_id']}")


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def create_for_a_thread_that_is_not_there(s: Session, thread: str) -> None:
    s.post(f"/threads/{thread}/runs/crons", NEW_YEAR)


@area.scenario
def cron_goes_with_its_thread(s: Session) -> None:
    cron = s.quiet.post(f"{s.at}/runs/crons", NEW_YEAR)["cron_id"]
    s.delete(s.at)
    s.get(f"/runs/crons/{cron}")


@area.scenario
def cron_is_deleted(s: Session) -> None:
    cron = s.quiet.post("/runs/crons", NEW_YEAR)["cron_id"]
    s.delete(f"/runs/crons/{cron}")
    s.get(f"/runs/crons/{cron}")
    s.delete(f"/runs/crons/{cron}")


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def cron_that_is_not_there(s: Session, cron: str) -> None:
    s.get(f"/runs/crons/{cron}")
    s.patch(f"/runs/crons/{cron}", {"enabled": False})
    s.delete(f"/runs/crons/{cron}")


@area.each(
    {
        "schedule": {"schedule": "0 0 2 1 *"},
        "schedule that is none": {"schedule": "x"},
        "timezone": {"timezone": "Europe/Oslo"},
        "enabled": {"enabled": False},
        "input": {"input": {"steps": 2}},
        "metadata": {"metadata": {"b": 2}},
        "end": {"end_time": "2099-01-01T00:00:00+00:00"},
        "end null": {"end_time": None},
        "on_run_completed": {"on_run_completed": "keep"},
        "nothing": {},
    }
)
def patch(s: Session, body: Any) -> None:
    cron = s.quiet.post("/runs/crons", {**NEW_YEAR, "metadata": {"a": 1}, "input": {"steps": 1}})["cron_id"]
    s.patch(f"/runs/crons/{cron}", body)
    s.get(f"/runs/crons/{cron}")
    s.quiet.delete(f"/runs/crons/{cron}")


@area.each(
    {
        "metadata": {},
        "metadata true for 1": {"metadata": {"number": True}},
        "metadata of a part of a list": {"metadata": {"list": [{"a": 2}]}},
        "enabled": {"enabled": False},
        "limit": {"limit": 1, "sort_by": "created_at", "sort_order": "asc"},
        "offset": {"offset": 1, "sort_by": "created_at", "sort_order": "asc"},
        "sorted by next run": {"sort_by": "next_run_date", "sort_order": "asc"},
        "sorted by something unknown": {"sort_by": "zzz"},
        "select": {"select": ["cron_id", "schedule"]},
        "select something unknown": {"select": ["zzz"]},
        "limit none": {"limit": 0},
        "assistant unknown": {"assistant_id": UNKNOWN},
        "assistant no UUID": {"assistant_id": "zzz"},
    }
)
def search(s: Session, body: Any) -> None:
    metadata = {"tag": s.tag, "number": 1, "list": [1, {"a": 2}]}
    crons = [
        s.quiet.post(
            "/runs/crons", {**NEW_YEAR, "schedule": f"0 0 {day} 1 *", "enabled": day != 2, "metadata": metadata}
        )
        for day in (1, 2, 3)
    ]
    s.post("/runs/crons/search", {**body, "metadata": {"tag": s.tag, **body.get("metadata", {})}})
    s.post("/runs/crons/count", {"metadata": {"tag": s.tag}})
    for cron in crons:
        s.quiet.delete(f"/runs/crons/{cron['cron_id']}")


@area.scenario
def search_by_thread(s: Session) -> None:
    cron = s.quiet.post(f"{s.at}/runs/crons", NEW_YEAR)["cron_id"]
    s.post("/runs/crons/search", {"thread_id": s.thread})
    s.post("/runs/crons/count", {"thread_id": s.thread})
    s.quiet.delete(f"/runs/crons/{cron}")
