"""The values of the domain: leases, ids, threads as callers see them."""

import time
import uuid
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import pytest

from handler.domain.lease import CLOCK_SKEW_MS, HEARTBEAT_S, LEASE_MS, STANDARD_TERMS, Lease
from handler.domain.models import Run, Thread, made_at, new_run_id, system_assistant_id, to_ms, utc_now
from handler.domain.status import RunStatus, ThreadStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
THREAD = Thread("acme", "t", ThreadStatus.IDLE, NOW, NOW)


@pytest.mark.parametrize(
    ("late_ms", "dead"),
    [(-1, False), (0, False), (1, False), (CLOCK_SKEW_MS, False), (CLOCK_SKEW_MS + 1, True), (10**9, True)],
)
def test_a_lease_is_dead_only_once_its_end_and_the_clock_skew_have_passed(late_ms: int, dead: bool) -> None:
    assert Lease("me", 1, 1_000_000).is_dead(1_000_000 + late_ms) is dead


@pytest.mark.parametrize(
    ("late_ms", "seconds"),
    [(-LEASE_MS, 65), (-20_500, 25), (0, 5), (CLOCK_SKEW_MS, 3), (CLOCK_SKEW_MS + 1, 65), (-(10**9), 65)],
)
def test_a_lease_is_looked_at_again_just_after_it_would_be_dead(late_ms: int, seconds: int) -> None:
    assert STANDARD_TERMS.next_look_s(Lease("me", 1, 10**12), 10**12 + late_ms) == seconds
    assert STANDARD_TERMS.next_look_s(None, 10**12 + late_ms) == 65


def test_a_lease_outlasts_two_heartbeats_that_fail() -> None:
    assert LEASE_MS >= 3 * HEARTBEAT_S * 1000


def test_a_lease_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Lease("me", 1, 1).epoch = 2  # type: ignore[misc]


def test_a_run_id_is_a_version_7_uuid_of_the_rfc() -> None:
    for _ in range(200):
        made = new_run_id()
        parsed = uuid.UUID(made)
        assert str(parsed) == made
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_a_run_id_tells_the_millisecond_of_its_making() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_run_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_run_ids_of_later_milliseconds_sort_later() -> None:
    made: list[str] = []
    for _ in range(20):
        made.append(new_run_id())
        started = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == started:
            time.sleep(0.0002)
    assert made == sorted(made)


def test_run_ids_do_not_repeat() -> None:
    assert len({new_run_id() for _ in range(20_000)}) == 20_000


def test_system_assistants_have_the_ids_that_clients_of_the_reference_know() -> None:
    namespace = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
    assert system_assistant_id("agent") == str(uuid.uuid5(namespace, "agent"))
    assert system_assistant_id("agent") == "fe096781-5601-53d2-b2f6-0d3403f7e9ca"


@pytest.mark.parametrize(
    ("thread", "busy"),
    [
        (THREAD, False),
        (replace(THREAD, active_run="r"), True),
        (replace(THREAD, queue=("r",)), True),
        (replace(THREAD, active_run="r", queue=("q",)), True),
    ],
)
def test_a_thread_is_busy_while_a_run_holds_it_or_waits(thread: Thread, busy: bool) -> None:
    assert thread.busy is busy
    failed = replace(thread, status=ThreadStatus.ERROR)
    assert failed.shown_status is (ThreadStatus.BUSY if busy else ThreadStatus.ERROR)


def test_a_threads_metadata_show_the_graph_and_assistant_of_its_last_run() -> None:
    thread = replace(THREAD, metadata={"a": 1, "graph_id": "old"})
    assert thread.shown_metadata == {"a": 1, "graph_id": "old"}
    ran = replace(thread, graph_id="new", assistant_id="x")
    assert ran.shown_metadata == {"a": 1, "graph_id": "new", "assistant_id": "x"}
    assert ran.metadata == {"a": 1, "graph_id": "old"}


@pytest.mark.parametrize("status", RunStatus)
def test_a_run_has_ended_when_its_status_is_final(status: RunStatus) -> None:
    run = Run("acme", "t", "r", "a", "g", status, NOW, NOW, "enqueue")
    assert run.ended is (status not in {"pending", "running"})


def test_the_clock_is_in_utc_and_milliseconds_are_whole() -> None:
    assert utc_now().utcoffset() == timedelta(0)
    assert to_ms(NOW) == 1_767_323_045_678


def test_run_id_tells_when_it_was_made() -> None:
    before = utc_now()
    made = made_at(new_run_id())
    assert made is not None
    assert to_ms(before) <= to_ms(made) <= to_ms(utc_now())


def test_id_of_another_make_tells_no_time() -> None:
    assert made_at(str(uuid.uuid4())) is None
    assert made_at("no id") is None
