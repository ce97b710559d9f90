"""The streams of whole threads, read elsewhere than where the runs are driven: nothing is lost or told twice."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handler.domain.events import BEFORE_ALL, EventId
from handler.domain.lease import LeaseTerms
from handler.runs.driver import Limits
from handler.runs.protocol import ProtocolEvent, Telling
from handler.runs.thread_follower import ThreadFollower, Told
from tests.contract.streams.recorded import HI, events_of
from tests.events import Request
from tests.in_lambda import InLambda, named
from tests.integration.test_streams import TICK, Deployment, deployment, stand_still

__all__ = ["deployment"]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def command(process: InLambda, thread_id: str, method: str, **params: Any) -> Any:
    """POST …/commands; the envelope that answers it."""
    body = {"id": 1, "method": method, "params": params}
    return process.call(Request("POST", f"/threads/{thread_id}/commands", headers=named({}), body=body)).json()


def start(process: InLambda, thread_id: str, **params: Any) -> str:
    """`run.start`; the run's id."""
    answer = command(process, thread_id, "run.start", **params)
    return str(answer["result"]["run_id"])


def drive(process: InLambda, thread_id: str, run_id: str, limit_s: float = 60) -> None:
    """Have a worker of the process look at the run."""
    process.services.loop.submit(process.services.attendant.attend("default", thread_id, run_id, limit_s)).result(60)


class Reader:
    """Reads a thread's streams in a process of its own, on a thread of its own."""

    def __init__(self, process: InLambda, thread_id: str, after: EventId | None = BEFORE_ALL) -> None:
        self.process = process
        self.follower = ThreadFollower(process.services.streams, process.services.threads, "default", thread_id)
        self.told: list[Told] = []
        self._over = threading.Event()
        self.run(self.follower.begin(after, LONG_AGO))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def run(self, work: Any) -> Any:
        """Await something on the graph loop."""
        return self.process.services.loop.submit(work).result(30)

    def _read(self) -> None:
        while not (self._over.is_set() or self.follower.gone):
            told = self.run(self.follower.next(0.1))
            if told is not None:
                self.told.append(told)

    def until(self, enough: Callable[[list[Told]], bool], within_s: float = 20) -> None:
        """Return once enough was told."""
        deadline = time.monotonic() + within_s
        while not enough(self.told):
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {len(self.told)} were told")
            time.sleep(0.02)

    def until_ended(self, runs: int = 1) -> None:
        """Return once so many runs were told to have ended."""
        self.until(lambda told: sum(one.ended is not None for one in told) == runs)

    def until_read(self, events: int) -> None:
        """Return once so many events were told."""
        self.until(lambda told: sum(len(one.events) for one in told) == events)

    def close(self) -> None:
        """Read no more."""
        self._over.set()
        self._thread.join(10)
        self.run(self.follower.leave())

    @property
    def names(self) -> list[str]:
        """The names of the events, and the ends of the runs."""
        return [
            name
            for one in self.told
            for name in [*(event.name for event in one.events), *([str(one.ended.status)] if one.ended else [])]
        ]

    @property
    def ids(self) -> list[EventId]:
        """The ids of the events."""
        return [event.id for one in self.told for event in one.events]


@contextmanager
def reading(process: InLambda, thread_id: str, after: EventId | None = BEFORE_ALL) -> Iterator[Reader]:
    """A reader that is closed in the end."""
    reader = Reader(process, thread_id, after)
    try:
        yield reader
    finally:
        reader.close()


def protocol_of(reader: Reader) -> list[ProtocolEvent]:
    """The protocol's events of what a reader was told."""
    telling: dict[str, Telling] = {}
    found: list[ProtocolEvent] = []
    for one in reader.told:
        mine = telling.setdefault(one.run.run_id, Telling(one.run))
        found += [event for raw in one.events for event in mine.tell(raw)]
        found += mine.end(one.ended) if one.ended else []
    return found


def fresh(process: InLambda) -> str:
    """A new thread."""
    thread_id = str(uuid.uuid4())
    process.call(Request("POST", "/threads", headers=named({}), body={"thread_id": thread_id}))
    return thread_id


def test_a_run_that_a_worker_drives_is_read_elsewhere_from_its_first_event_to_its_last(deployment: Deployment) -> None:
    api, worker, front = deployment.process(), deployment.process(), deployment.process()
    thread_id = fresh(api)
    with reading(front, thread_id) as reader:
        run_id = start(api, thread_id, assistant_id="talk", input=HI)
        drive(worker, thread_id, run_id)
        reader.until_ended()
    assert reader.names[0] == "metadata"
    assert reader.names[-1] == "success"
    assert {"values", "messages", "updates", "custom", "checkpoints"} <= set(reader.names)
    assert reader.ids == sorted(set(reader.ids))
    last = protocol_of(reader)[-1]
    assert (last["method"], last["params"]["data"]["event"]) == ("lifecycle", "completed")


def test_runs_are_told_one_after_another_by_whomever_they_are_driven(deployment: Deployment) -> None:
    api, front = deployment.process(), deployment.process()
    workers = [deployment.process() for _ in range(2)]
    thread_id = fresh(api)
    with reading(front, thread_id) as reader:
        for worker in workers:
            drive(worker, thread_id, start(api, thread_id, assistant_id="talk", input=HI))
        reader.until_ended(2)
    order = [one.run.run_id for one in reader.told]
    assert len(dict.fromkeys(order)) == 2
    assert order == sorted(order)
    assert reader.ids == sorted(set(reader.ids))
    seqs = [one["seq"] for one in protocol_of(reader)]
    assert seqs == sorted(set(seqs))


def test_a_second_reader_finds_what_the_first_was_told_with_the_same_ids(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    with reading(deployment.process(), thread_id) as live:
        for value in (HI, {**HI, "ask": True}):
            drive(deployment.process(), thread_id, start(api, thread_id, assistant_id="talk", input=value))
        live.until_ended(2)
    with reading(deployment.process(), thread_id) as later:
        later.until_ended(2)
    assert protocol_of(later) == protocol_of(live)


def test_a_reader_goes_on_behind_any_event_without_loss_or_repetition(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    for _ in range(2):
        drive(deployment.process(), thread_id, start(api, thread_id, assistant_id="long", input={"steps": 2}))
    with reading(deployment.process(), thread_id) as whole:
        whole.until_ended(2)
    for place in whole.ids[:: max(len(whole.ids) // 5, 1)]:
        behind = [one for one in whole.ids if one > place]
        with reading(deployment.process(), thread_id, place) as reader:
            reader.until_read(len(behind))
        assert reader.ids == behind


def test_from_now_on_means_without_what_has_ended_and_with_what_comes(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    drive(api, thread_id, start(api, thread_id, assistant_id="talk", input=HI))
    with reading(deployment.process(), thread_id, None) as reader:
        second = start(api, thread_id, assistant_id="talk", input=HI)
        drive(api, thread_id, second)
        reader.until_ended()
    assert {one.run.run_id for one in reader.told} == {second}
    assert reader.names[0] == "metadata"


def test_a_hand_off_goes_on_where_the_driver_before_has_stopped(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    run_id = start(api, thread_id, assistant_id="long", input={"steps": 20, "seconds": 0.1})
    with reading(deployment.process(), thread_id) as reader:
        # From 1.6 s on it is to stop between two steps, and has the time of four for it.
        drive(deployment.process(limits=Limits(stop_margin_s=0.0)), thread_id, run_id, limit_s=2.0)
        drive(deployment.process(), thread_id, run_id)
        reader.until_ended()
    assert len({one.epoch for one in reader.ids}) == 2
    done = [
        one["params"]["data"].get("done")
        for one in protocol_of(reader)
        if one["method"] == "values" and not one["params"]["namespace"]
    ]
    assert done == [None, *range(1, 21)]
    statuses = [one["params"]["data"]["event"] for one in protocol_of(reader) if one["method"] == "lifecycle"]
    assert statuses == ["running", "completed"]


def test_a_driver_that_stood_still_and_was_superseded_tells_nothing_more(deployment: Deployment) -> None:
    limits = Limits(terms=LeaseTerms(lasts_ms=400, heartbeat_s=0.1, skew_ms=50))
    old, new = deployment.process(limits=limits), deployment.process(limits=limits)
    thread_id = fresh(old)
    run_id = start(old, thread_id, assistant_id="long", input={"steps": 12, "seconds": TICK})
    attending = old.services.loop.submit(old.services.attendant.attend("default", thread_id, run_id, 60))
    time.sleep(3 * TICK)
    stood = old.services.loop.submit(stand_still(1.2))
    time.sleep(0.8)
    drive(new, thread_id, run_id)
    stood.result(30)
    attending.result(30)
    with reading(deployment.process(), thread_id) as reader:
        reader.until_ended()
    assert reader.ids == sorted(set(reader.ids))
    ends = [one for one in protocol_of(reader) if one["params"]["data"] == {"event": "completed", "graph_name": "long"}]
    assert len(ends) == 1


def test_a_run_that_is_cancelled_before_it_starts_is_told_to_be_interrupted(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    run_id = start(api, thread_id, assistant_id="talk", input=HI)
    with reading(deployment.process(), thread_id) as reader:
        path = f"/threads/{thread_id}/runs/{run_id}/cancel"
        assert api.call(Request("POST", path, headers=named({}))).status == 202
        reader.until_ended()
    assert reader.names == ["interrupted"]
    with reading(deployment.process(), thread_id) as later:
        later.until_ended()
    assert protocol_of(later) == protocol_of(reader)


def test_a_thread_that_is_deleted_ends_its_streams(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    with reading(deployment.process(), thread_id) as reader:
        time.sleep(0.3)
        api.call(Request("DELETE", f"/threads/{thread_id}", headers=named({})))
        deadline = time.monotonic() + 10
        while not reader.follower.gone and time.monotonic() < deadline:
            time.sleep(0.02)
        assert reader.follower.gone


def test_a_thread_that_is_deleted_before_it_was_looked_at_ends_its_streams(deployment: Deployment) -> None:
    process = deployment.process()
    thread_id = fresh(process)
    follower = ThreadFollower(process.services.streams, process.services.threads, "default", thread_id)
    process.services.loop.submit(follower.begin(None, LONG_AGO)).result(30)
    process.call(Request("DELETE", f"/threads/{thread_id}", headers=named({})))
    assert process.services.loop.submit(follower.next(0.2)).result(30) is None
    assert follower.gone
    process.services.loop.submit(follower.leave()).result(30)


def test_a_run_of_other_origin_is_followed_from_its_first_event_where_it_is_driven(deployment: Deployment) -> None:
    process = deployment.process()
    thread_id = fresh(process)
    with reading(process, thread_id) as reader:
        process.wait(thread_id, {"assistant_id": "talk", "input": HI})
        reader.until_ended()
    assert reader.names == ["metadata", *["values"] * 4, "success"]


def test_the_shortest_runs_are_told_whole_where_they_are_driven(deployment: Deployment) -> None:
    process = deployment.process()
    thread_id = fresh(process)
    with reading(process, thread_id) as reader:
        for _ in range(5):
            process.wait(thread_id, {"assistant_id": "long", "input": {"steps": 1, "seconds": 0}})
        reader.until_ended(5)
    assert reader.names == ["metadata", "values", "values", "success"] * 5
    assert not process.services.streams.channels._channels


def test_an_idle_thread_costs_one_small_read_a_look(deployment: Deployment) -> None:
    process = deployment.process()
    thread_id = fresh(process)
    drive(process, thread_id, start(process, thread_id, assistant_id="talk", input=HI))
    with reading(deployment.process(), thread_id) as reader:
        reader.until_ended()
        time.sleep(0.5)
        runs = Counting(reader.process.services.runs)
        reader.follower.streams.runs = runs
        time.sleep(1.5)
    assert runs.listed == 0


class Counting:
    """A store of runs that counts how often they are listed."""

    def __init__(self, runs: Any) -> None:
        self.runs = runs
        self.listed = 0

    def list(self, *args: Any, **kwargs: Any) -> Any:
        """The runs of a thread."""
        self.listed += 1
        return self.runs.list(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Anything else."""
        return getattr(self.runs, name)


@pytest.mark.parametrize("agent", ["langgraph-sdk-py/0.4.14", "langgraph-sdk-py/0.4.2"])
def test_the_python_sdk_is_refused_by_name_where_answers_are_buffered(deployment: Deployment, agent: str) -> None:
    process = deployment.process()
    thread_id = fresh(process)
    headers = named({"user_agent": agent})
    path = f"/threads/{thread_id}/stream/events"
    answer = process.call(Request("POST", path, headers=headers, body={"channels": ["values"]}))
    assert answer.status == 501
    assert "WebAdapterLayerArn" in answer.json()["detail"]
    assert process.get(f"/threads/{thread_id}/stream").status == 501


def test_whoever_asks_again_by_itself_gets_whole_answers(deployment: Deployment) -> None:
    api, front = deployment.process(), deployment.process()
    thread_id = fresh(api)
    ask = Request(
        "POST", f"/threads/{thread_id}/stream/events", headers=named({}), body={"channels": ["values", "lifecycle"]}
    )
    begun = time.monotonic()
    assert list(events_of(front.call(ask).text)) == []
    run_id = start(api, thread_id, assistant_id="long", input={"steps": 8, "seconds": TICK})
    driven = threading.Thread(target=drive, args=(api, thread_id, run_id))
    driven.start()
    seen: dict[str, Any] = {}
    answers = 0
    while not any(one["params"]["data"].get("event") == "completed" for one in seen.values()):
        assert time.monotonic() < begun + 30
        answers += 1
        for sent in events_of(front.call(ask).text):
            assert seen.setdefault(sent.data["event_id"], sent.data) == sent.data
    driven.join()
    assert answers > 1
    values = [one["params"]["data"].get("done") for one in seen.values() if one["method"] == "values"]
    assert values == [None, *range(1, 9)]


def test_more_than_one_answer_can_carry_is_refused_by_name(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    drive(api, thread_id, start(api, thread_id, assistant_id="talk", input={**HI, "notes": ["long " * 500]}))
    api.services.settings.__dict__["max_result_bytes"] = 3000
    ask = Request("POST", f"/threads/{thread_id}/stream/events", headers=named({}), body={"channels": ["values"]})
    answer = api.call(ask)
    assert answer.status == 413
    assert "WebAdapterLayerArn" in answer.json()["detail"]


def test_a_run_of_the_protocol_can_be_waited_for_as_any_other(deployment: Deployment, tmp_path: Path) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    run_id = start(api, thread_id, assistant_id="talk", input={**HI, "ask": True})
    drive(api, thread_id, run_id)
    joined = api.get(f"/threads/{thread_id}/runs/{run_id}/join").json()
    assert [one["value"] for one in joined["__interrupt__"]] == ["sure?"]
    interrupt = joined["__interrupt__"][0]["id"]
    assert command(api, thread_id, "input.respond", interrupt_id=interrupt, response="yes")["type"] == "success"
    second = api.runs(thread_id)[0]["run_id"]
    drive(api, thread_id, second)
    assert "asked yes" in api.get(f"/threads/{thread_id}/runs/{second}/join").json()["notes"]


def test_an_answer_waits_for_the_run_that_has_just_asked(deployment: Deployment) -> None:
    api = deployment.process()
    thread_id = fresh(api)
    run_id = start(api, thread_id, assistant_id="talk", input={**HI, "ask": True, "seconds": 0.3})
    driven = threading.Thread(target=drive, args=(api, thread_id, run_id))
    with reading(deployment.process(), thread_id) as reader:
        driven.start()
        reader.until(
            lambda told: any(
                event.name.startswith("updates") and b"__interrupt__" in event.data
                for one in told
                for event in one.events
            )
        )
        asked = next(one for one in protocol_of(reader) if one["method"] == "input.requested")
        interrupt = asked["params"]["data"]["interrupt_id"]
        assert command(api, thread_id, "input.respond", interrupt_id=interrupt, response="yes")["type"] == "success"
    driven.join()
    assert [one["status"] for one in api.runs(thread_id)] == ["pending", "success"]
