"""Streams behind a gateway that buffers: slices that close in time, over one process or two, with nothing lost."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from handler.bootstrap import build_services, create_queue, create_table
from handler.domain.events import BEFORE_ALL, EventId
from handler.domain.lease import LeaseTerms
from handler.domain.models import Claim
from handler.domain.ports import SaverFactory
from handler.runs.driver import Limits
from handler.settings import Settings
from handler.storage import keys
from handler.storage.queue import SqsWakes
from handler.storage.table import Table
from tests.conftest import new_settings
from tests.contract.streams.conftest import GRAPHS
from tests.contract.streams.recorded import HI, Sent, events_of
from tests.engines import Engine
from tests.events import Request, Response
from tests.in_lambda import Context, InLambda, named
from tests.integration.conftest import everything

WINDOW = 0.6
"""A window of slices in these tests, in seconds."""

TICK = WINDOW / 5
"""How long a step of the `long` graph takes."""


@dataclass(frozen=True)
class Deployment:
    """A table and a queue, and how to start processes over them."""

    engine: Engine
    settings: Settings

    def process(self, *, held: bool = True, limits: Limits | None = None) -> InLambda:
        """A process that knows nothing of the others."""
        wakes = SqsWakes(self.engine.sqs(), self.settings.queue_url)
        services = build_services(self.settings, dynamodb=self.engine.new_dynamodb(), wakes=wakes, limits=limits)
        return InLambda(services, held=held)

    def events(self) -> list[str]:
        """The sort keys of what is stored of streams."""
        table = Table(self.engine.dynamodb(), self.settings.table_name)
        found = [str(item["SK"]["S"]) for item in everything(table)]
        return [sk for sk in found if sk.startswith(keys.EVENT_PREFIX)]


@cache
def warm_up(engine: Engine) -> None:
    """Have a run of this process import what all runs need, which takes longer than a window."""
    settings = new_settings(langgraph_config=GRAPHS, tenant_claim="", gateway_timeout_seconds=29)
    create_table(engine.dynamodb(), settings.table_name)
    process = InLambda(build_services(settings, dynamodb=engine.new_dynamodb()))
    assert start(process, str(uuid.uuid4()), assistant_id="long", input={"seconds": 0.0}).status == 200
    process.quiet()


@pytest.fixture
def deployment(engine: Engine) -> Deployment:
    """A deployment whose windows are short."""
    warm_up(engine)
    queue_url = create_queue(engine.sqs(), f"q-{uuid.uuid4().hex[:12]}")
    settings = new_settings(
        queue_url=queue_url, langgraph_config=GRAPHS, tenant_claim="", gateway_timeout_seconds=WINDOW * 5 / 4
    )
    create_table(engine.dynamodb(), settings.table_name)
    return Deployment(engine, settings)


CREATE = {"if_not_exists": "create"}


def start(process: InLambda, thread_id: str, **fields: Any) -> Response:
    """POST …/runs/stream."""
    body = {"assistant_id": "talk", "input": HI, **CREATE, **fields}
    return process.call(Request("POST", f"/threads/{thread_id}/runs/stream", headers=named({}), body=body))


def go_on(process: InLambda, slice_: Response, last: str | None) -> Response:
    """GET the next slice, as an SDK does."""
    headers = {"Last-Event-ID": last} if last else {}
    return process.get(slice_.headers["location"], **{name.replace("-", "_"): value for name, value in headers.items()})


def to_the_end(process: InLambda, slice_: Response) -> Iterator[list[Sent]]:
    """The events of each slice, until the run is seen to have ended after one, as an SDK looks."""
    last: str | None = None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        events = list(events_of(slice_.text))
        last = events[-1].id if events else last
        yield events
        looked_at = slice_.headers["location"].partition("?")[0].removesuffix("/stream")
        if process.get(looked_at).json()["status"] not in ("pending", "running") or "error" in [
            e.event for e in events
        ]:
            return
        slice_ = go_on(process, slice_, last)
    raise TimeoutError("the run does not end")


def test_a_run_shorter_than_the_window_is_one_answer_and_stores_nothing(deployment: Deployment) -> None:
    settings = deployment.settings.model_copy(update={"gateway_timeout_seconds": 20})
    process = replace(deployment, settings=settings).process()
    answer = start(process, str(uuid.uuid4()), stream_mode=["updates", "custom"])
    assert [one.event for one in events_of(answer.text)] == ["metadata", "custom", "updates", "updates", "updates"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    process.quiet()
    assert deployment.events() == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-process", "another-process"])
def test_slices_make_up_the_whole_stream(deployment: Deployment, elsewhere: bool) -> None:
    first = deployment.process()
    second = deployment.process() if elsewhere else first
    thread_id = str(uuid.uuid4())
    run = {"steps": 14, "seconds": TICK}
    slices = list(to_the_end(second, start(first, thread_id, assistant_id="long", input=run, stream_mode=["values"])))
    assert len(slices) >= 3
    events = [event for one in slices for event in one]
    assert [one.event for one in events] == ["metadata"] + ["values"] * 15
    assert [one.data.get("done") for one in events[1:]] == [None, *range(1, 15)]
    ids = [EventId.parse(one.id or "") for one in events]
    assert len(set(ids)) == len(ids)
    assert len(first.runs(thread_id)) == 1
    first.quiet()


def test_a_run_that_ends_between_a_slice_and_the_look_at_it_is_read_to_its_end(deployment: Deployment) -> None:
    process = deployment.process()
    thread_id = str(uuid.uuid4())
    first = start(process, thread_id, assistant_id="long", input={"steps": 7, "seconds": TICK})
    assert process.ended(thread_id) == ["success"]
    events = [event for one in to_the_end(deployment.process(), first) for event in one]
    assert [one.data.get("done") for one in events[1:]] == [None, *range(1, 8)]
    assert process.get(first.headers["content-location"]).json()["status"] == "success"


def test_a_slice_that_was_lost_on_its_way_is_sent_again(deployment: Deployment) -> None:
    process = deployment.process()
    run = {"steps": 10, "seconds": TICK}
    first = start(process, str(uuid.uuid4()), assistant_id="long", input=run, stream_mode=["values"])
    seen = list(events_of(first.text))
    process.quiet()
    other = deployment.process()
    again = list(events_of(go_on(other, first, seen[0].id).text))
    assert [one.data.get("done") for one in again] == [None, *range(1, 11)]
    assert again[: len(seen) - 1] == seen[1:]


def test_a_client_that_has_no_id_goes_on_where_its_slice_ended(deployment: Deployment) -> None:
    process = deployment.process()
    first = start(process, str(uuid.uuid4()), assistant_id="long", input={"steps": 8, "seconds": TICK})
    seen = list(events_of(first.text))
    later = list(events_of(go_on(deployment.process(), first, None).text))
    assert [one.data["done"] for one in [*seen, *later][2:]] == list(range(1, len(seen) + len(later) - 1))
    process.quiet()


def test_a_filter_holds_for_the_slices_that_follow(deployment: Deployment) -> None:
    process = deployment.process()
    body = {"assistant_id": "long", "input": {"steps": 8, "seconds": TICK}, "stream_mode": ["values", "updates"]}
    first = start(process, str(uuid.uuid4()), **body)
    path = first.headers["content-location"] + "/stream?stream_mode=updates"
    other = deployment.process()
    joined = other.get(path, Last_Event_Id="-1")
    assert "stream_mode=updates" in joined.headers["location"]
    events = [event for one in to_the_end(other, joined) for event in one]
    assert [one.data["tick"]["done"] for one in events] == list(range(1, 9))
    process.quiet()


def test_a_silent_run_gives_a_sign_of_life_before_the_sdk_gives_up(deployment: Deployment) -> None:
    process = deployment.process()
    first = start(process, str(uuid.uuid4()), assistant_id="long", input={"steps": 1, "seconds": 5.5 * WINDOW})
    slices = list(to_the_end(process, first))
    assert [[one.event for one in events] for events in slices[:5]] == [
        ["metadata", "values"],
        [],
        [],
        [],
        ["metadata"],
    ]
    assert slices[4][0].id == slices[0][-1].id
    process.quiet()


def test_a_failure_comes_at_the_end_of_the_last_slice(deployment: Deployment) -> None:
    process = deployment.process()
    first = start(process, str(uuid.uuid4()), input={**HI, "fail": True, "seconds": 1.5 * WINDOW})
    *_, last = to_the_end(process, first)
    assert (last[-1].event, last[-1].data["error"]) == ("error", "ValueError")
    process.quiet()


def test_where_the_sandbox_freezes_the_run_drains_and_a_worker_streams_on(deployment: Deployment) -> None:
    process = deployment.process(held=False)
    worker = deployment.process()
    thread_id = str(uuid.uuid4())
    run = {"steps": 12, "seconds": TICK}
    first = start(process, thread_id, assistant_id="long", input=run, stream_mode=["values"])
    process.quiet()
    run_id = process.runs(thread_id)[0]["run_id"]
    attending = worker.services.attendant.attend("default", thread_id, run_id, 60)
    driven = worker.services.loop.submit(attending)
    events = [event for one in to_the_end(deployment.process(), first) for event in one]
    driven.result(30)
    assert events[0].event == "metadata"
    done = [one.data.get("done") for one in events if one.event == "values"]
    assert list(dict.fromkeys(done)) == [None, *range(1, 13)]
    assert len(done) <= 14, "what a driver that was cut off may not have told comes again, and no more"
    ids = [EventId.parse(one.id or "") or BEFORE_ALL for one in events]
    assert ids == sorted(ids)
    assert len({place.epoch for place in ids}) == 2


def test_a_run_that_is_handed_on_before_it_has_begun_streams_all_its_values(deployment: Deployment) -> None:
    process = deployment.process(held=False)
    worker = deployment.process()
    thread_id = str(uuid.uuid4())
    body = {"assistant_id": "long", "input": {"steps": 2, "seconds": 0.0}, "stream_mode": ["values"]}
    request = Request("POST", f"/threads/{thread_id}/runs/stream", headers={"Prefer": "wait=0"}, body=body | CREATE)
    first = process.call(request)
    process.quiet()
    run_id = process.runs(thread_id)[0]["run_id"]
    worker.services.loop.submit(worker.services.attendant.attend("default", thread_id, run_id, 60)).result(30)
    events = [event for one in to_the_end(deployment.process(), first) for event in one]
    (run,) = process.runs(thread_id)
    assert (run["status"], run["handoffs"]) == ("success", 1)
    assert events[0].event == "metadata"
    assert [one.data.get("done") for one in events if one.event == "values"] == [None, 1, 2]


def hold_up(process: InLambda, gate: Path) -> None:
    """Open the gate once a driver is to drain; from then on until it is cut off, have its checkpoints wait."""
    driver = process.services.driver
    make = driver.savers

    def savers(tenant: str, claim: Claim | None = None) -> Any:
        saver: Any = make(tenant, claim)
        if claim is None:
            return saver
        drive, put = driver._driving[claim.run.run_id], saver.aput

        async def aput(*arguments: Any) -> Any:
            while drive._drain and drive.stopped_by is None:  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.01)
            return await put(*arguments)

        def open_gate() -> None:
            while not drive._drain:
                time.sleep(0.01)
            gate.touch()

        threading.Thread(target=open_gate, daemon=True).start()
        saver.aput = aput
        return saver

    driver.savers = cast("SaverFactory", savers)


def test_what_a_driver_had_not_told_when_it_was_cut_off_is_told_by_the_next(
    deployment: Deployment, tmp_path: Path
) -> None:
    gate, thread_id, worker = tmp_path / "gate", str(uuid.uuid4()), deployment.process()
    settings = deployment.settings.model_copy(update={"gateway_timeout_seconds": 2.5})
    process = replace(deployment, settings=settings).process(held=False)
    hold_up(process, gate)
    first = start(process, thread_id, assistant_id="log", input={"n": 2, "until": str(gate)}, stream_mode=["values"])
    process.quiet()
    run_id = process.runs(thread_id)[0]["run_id"]
    worker.services.loop.submit(worker.services.attendant.attend("default", thread_id, run_id, 60)).result(30)
    events = [event for one in to_the_end(deployment.process(), first) for event in one]
    logged = [len(one.data.get("entries", ())) for one in events if one.event == "values"]
    assert list(dict.fromkeys(logged)) == [0, 1, 2]
    (run,) = process.runs(thread_id)
    assert (run["status"], run["attempt"], run["handoffs"]) == ("success", 2, 1)


def test_a_background_run_stores_events_only_once_somebody_follows_it(deployment: Deployment, tmp_path: Path) -> None:
    api, worker, gate = deployment.process(), deployment.process(), tmp_path / "gate"
    thread_id = str(uuid.uuid4())
    body = {"assistant_id": "log", "input": {"n": 2, "until": str(gate)}, "if_not_exists": "create"}
    created = api.call(Request("POST", f"/threads/{thread_id}/runs", headers=named({}), body=body)).json()
    driven = worker.services.loop.submit(worker.services.attendant.attend("default", thread_id, created["run_id"], 60))
    while api.runs(thread_id)[0]["status"] != "running":
        time.sleep(0.02)
    assert deployment.events() == []
    threading.Timer(1.5, gate.touch).start()  # by then the driver has looked
    joined = api.get(f"/threads/{thread_id}/runs/{created['run_id']}/stream")
    events = [event for one in to_the_end(api, joined) for event in one]
    driven.result(30)
    assert [one.event for one in events] == ["values"] * 2
    assert events[-1].data["entries"] == ["e-0", "e-1"]


def test_a_background_run_that_nobody_follows_stores_no_events(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = str(uuid.uuid4())
    body = {"assistant_id": "talk", "input": HI, "if_not_exists": "create", "stream_mode": ["values", "messages"]}
    created = api.call(Request("POST", f"/threads/{thread_id}/runs", headers=named({}), body=body)).json()
    driven = api.services.loop.submit(api.services.attendant.attend("default", thread_id, created["run_id"], 60))
    driven.result(30)
    assert deployment.events() == []


def test_what_was_stored_goes_with_its_run_and_with_its_thread(deployment: Deployment) -> None:
    process = deployment.process()
    threads = [str(uuid.uuid4()), str(uuid.uuid4())]
    for thread_id in threads:
        start(process, thread_id, stream_resumable=True)
    assert len(deployment.events()) >= 2
    run_id = process.runs(threads[0])[0]["run_id"]
    process.call(Request("DELETE", f"/threads/{threads[0]}/runs/{run_id}", headers=named({})))
    assert {sk.split("#")[1] for sk in deployment.events()} == {process.runs(threads[1])[0]["run_id"]}
    process.call(Request("DELETE", f"/threads/{threads[1]}", headers=named({})))
    assert deployment.events() == []


def test_what_one_answer_cannot_carry_comes_in_more_of_them(deployment: Deployment) -> None:
    settings = deployment.settings.model_copy(update={"max_result_bytes": 3000, "gateway_timeout_seconds": 20})
    process = replace(deployment, settings=settings).process()
    first = start(process, str(uuid.uuid4()), stream_mode=["values", "updates", "tasks"])
    texts, events = [first.text], list(events_of(first.text))
    process.quiet()
    for more in to_the_end(process, go_on(process, first, events[-1].id)):
        events += more
    assert [one.event for one in events].count("values") == 4
    assert [int((one.id or "").split("-")[1]) for one in events] == list(range(1, len(events) + 1))
    assert len(texts[0]) < 3000


def test_a_run_that_ended_before_its_first_answer_was_full_is_kept_for_the_next(deployment: Deployment) -> None:
    settings = deployment.settings.model_copy(update={"max_result_bytes": 2000, "gateway_timeout_seconds": 20})
    process = replace(deployment, settings=settings).process()
    notes = {"messages": [{"role": "user", "content": "m" * 500, "id": str(place)} for place in range(2)]}
    first = start(process, str(uuid.uuid4()), assistant_id="long", input={"steps": 40, "seconds": 0, **notes})
    events = [event for one in to_the_end(process, first) for event in one]
    assert [one.data.get("done") for one in events[1:]] == [None, *range(1, 41)]


def test_one_event_that_is_too_large_ends_the_stream_by_name(deployment: Deployment) -> None:
    settings = deployment.settings.model_copy(update={"max_result_bytes": 700})
    process = replace(deployment, settings=settings).process()
    answer = start(process, str(uuid.uuid4()), input={**HI, "notes": ["long " * 200]})
    events = list(events_of(answer.text))
    assert events[0].event == "metadata"
    (error,) = events_of(go_on(process, answer, events[-1].id).text)
    assert (error.event, error.data["error"]) == ("error", "PayloadTooLarge")
    assert "/state" in error.data["message"]


def test_a_process_answers_within_its_slice(deployment: Deployment) -> None:
    settings = deployment.settings.model_copy(update={"stream_slice_seconds": TICK * 2, "gateway_timeout_seconds": 20})
    process = replace(deployment, settings=settings).process()
    first = start(process, str(uuid.uuid4()), assistant_id="long", input={"steps": 6, "seconds": TICK})
    assert len(list(events_of(first.text))) < 8
    events = [event for one in to_the_end(process, first) for event in one]
    assert [one.data.get("done") for one in events[2:]] == list(range(1, 7))
    process.quiet()


def test_no_time_left_is_no_time_to_wait(deployment: Deployment) -> None:
    process = deployment.process()
    request = Request(
        "POST",
        f"/threads/{uuid.uuid4()}/runs/stream",
        headers=named({}),
        body={"assistant_id": "long", "input": {"steps": 3, "seconds": TICK}, "if_not_exists": "create"},
    )
    answer = process.call(request, spent_s=10.0, context=Context(remaining_s=60.0))
    assert (answer.status, "location" in answer.headers) == (200, True)
    process.quiet()


def test_a_driver_that_stood_still_and_was_superseded_adds_nothing_to_the_stream(deployment: Deployment) -> None:
    limits = Limits(terms=LeaseTerms(lasts_ms=400, heartbeat_s=0.1, skew_ms=50))
    old, new = deployment.process(limits=limits), deployment.process(limits=limits)
    thread_id = str(uuid.uuid4())
    fields = {"assistant_id": "long", "input": {"steps": 12, "seconds": TICK}, "stream_resumable": True}
    start(old, thread_id, **fields)
    run_id = old.runs(thread_id)[0]["run_id"]
    stood = old.services.loop.submit(stand_still(1.2))
    time.sleep(0.8)
    new.services.loop.submit(new.services.attendant.attend("default", thread_id, run_id, 60)).result(30)
    stood.result(30)
    old.quiet()
    reader = deployment.process()
    events = list(events_of(reader.get(f"/threads/{thread_id}/runs/{run_id}/stream", last_event_id="-1").text))
    ids = [EventId.parse(one.id or "") or BEFORE_ALL for one in events]
    assert ids == sorted(set(ids))
    assert [one.data["attempt"] for one in events if one.event == "metadata"] == [1, 2]
    second = next(place for place, one in enumerate(events) if one.event == "metadata" and one.data["attempt"] == 2)
    assert {place.epoch for place in ids[second:]} == {ids[second].epoch}
    assert ids[second - 1].epoch < ids[second].epoch
    assert [one.data.get("done") for one in events[second + 1 :]][-1] == 12


async def stand_still(seconds: float) -> None:
    """Keep the graph loop from doing anything."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is the point
