"""Crons, batches and runs that are put off, by the real Python SDK, sync and async."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.test_sdk import refused, result, sdk, thread_id

__all__ = ["sdk", "thread_id"]


@pytest.fixture
def mark() -> dict[str, str]:
    return {"test": uuid.uuid4().hex}


async def test_a_cron_lives_through_all_calls_of_the_client(sdk: Any, thread_id: str, mark: dict[str, str]) -> None:
    given = {"input": {"n": 1}, "metadata": mark, "interrupt_before": ["begin"], "durability": "exit"}
    zone = ZoneInfo("Europe/Oslo")
    one = await result(
        sdk.crons.create_for_thread(thread_id, "log", schedule="0 0 1 1 *", timezone=zone, enabled=False, **given)
    )
    two = await result(
        sdk.crons.create(
            "log",
            schedule="0 0 2 1 *",
            end_time=datetime.now(UTC) + timedelta(days=1000),
            on_run_completed="keep",
            config={"tags": ["x"]},
            stream_mode=["values", "updates"],
            **given,
        )
    )
    assert (one["thread_id"], one["timezone"], two["thread_id"]) == (thread_id, "Europe/Oslo", None)
    assert await result(sdk.crons.count(metadata=mark)) == 2
    assert await result(sdk.crons.count(metadata=mark, thread_id=thread_id)) == 1
    found = await result(sdk.crons.search(metadata=mark, sort_by="next_run_date", sort_order="asc", limit=1))
    assert [cron["cron_id"] for cron in found] == [one["cron_id"]]
    found = await result(sdk.crons.search(metadata=mark, enabled=True, select=["cron_id", "schedule"]))
    assert found == [{"cron_id": two["cron_id"], "schedule": "0 0 2 1 *"}]
    changed = await result(sdk.crons.update(two["cron_id"], schedule="0 0 3 1 *", end_time=None, input={"n": 2}))
    assert (changed["schedule"], changed["end_time"], changed["payload"]["input"]) == ("0 0 3 1 *", None, {"n": 2})
    assert await result(sdk.crons.delete(two["cron_id"])) is None
    with refused(404):
        await result(sdk.crons.delete(two["cron_id"]))
    await result(sdk.threads.delete(thread_id))
    assert await result(sdk.crons.count(metadata=mark)) == 0


async def test_a_batch_is_a_list_of_runs(sdk: Any) -> None:
    payloads = [{"assistant_id": "log", "input": {"n": 1, "name": name}, "on_completion": "keep"} for name in "ab"]
    runs = await result(sdk.runs.create_batch(payloads))
    ended = [await result(sdk.runs.join(run["thread_id"], run["run_id"])) for run in runs]
    assert [values["entries"] for values in ended] == [["a-0"], ["b-0"]]


async def test_a_run_is_put_off(sdk: Any, thread_id: str) -> None:
    run = await result(sdk.runs.create(thread_id, "log", input={"n": 1, "name": "late"}, after_seconds=1))
    assert run["status"] == "pending"
    assert (await result(sdk.threads.get(thread_id)))["status"] == "busy"
    assert (await result(sdk.runs.join(thread_id, run["run_id"])))["entries"] == ["late-0"]


async def test_a_webhook_inside_is_refused(sdk: Any, thread_id: str) -> None:
    with refused(422):
        await result(sdk.runs.create(thread_id, "log", input={"n": 1}, webhook="http://169.254.169.254/"))
    assert await result(sdk.runs.list(thread_id)) == []
