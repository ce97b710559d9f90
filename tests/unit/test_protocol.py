"""What the events of a run become in the thread-wide protocol, and who gets which of them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from handler.domain.events import Event, EventId
from handler.domain.models import Run
from handler.domain.status import TERMINAL, RunStatus
from handler.runs.protocol import ENDED_AS, EPOCH_ZERO, ProtocolEvent, Subscription, Telling, seq_of

EPOCH = 1_795_640_000_000
LARGEST_EXACT = 2**53 - 1
"""Beyond it JavaScript counts no more one by one."""

RUN = Run(
    tenant="acme",
    thread_id="t",
    run_id="r",
    assistant_id="a",
    graph_id="talk",
    status=RunStatus.RUNNING,
    created_at=datetime(2026, 11, 24, tzinfo=UTC),
    updated_at=datetime(2026, 11, 24, tzinfo=UTC),
    multitask_strategy="enqueue",
)
CHILD = "child:3f2a"


def ended(status: RunStatus, **fields: Any) -> Run:
    """The run at its end."""
    return replace(RUN, status=status, ended_at=datetime(2026, 11, 24, 0, 1, tzinfo=UTC), **fields)


def raw(number: int, name: str, data: Any, *, epoch: int = EPOCH) -> Event:
    """An event of a stream mode, of a run that the protocol did not start."""
    return Event(EventId(epoch, number), name, json.dumps(data).encode())


def own(number: int, method: str, data: Any, *namespace: str, epoch: int = EPOCH, **params: Any) -> Event:
    """An event of a run of the protocol."""
    kept = {"namespace": list(namespace), "timestamp": EPOCH + number, "data": data, **params}
    name = "|".join((method, *namespace))
    return raw(number, name, {"type": "event", "method": method, "params": kept}, epoch=epoch)


def told(*events: Event, telling: Telling | None = None) -> list[ProtocolEvent]:
    """All that events become."""
    telling = telling or Telling(RUN)
    return [one for event in events for one in telling.tell(event)]


def brief(events: list[ProtocolEvent]) -> list[tuple[Any, ...]]:
    """Method, namespace and data of events."""
    return [(one["method"], "|".join(one["params"]["namespace"]), one["params"]["data"]) for one in events]


def running() -> tuple[Any, ...]:
    """The first event of any run."""
    return ("lifecycle", "", {"event": "running", "graph_name": "talk"})


def test_a_run_is_told_to_run_with_its_first_event_whatever_that_is() -> None:
    assert brief(told(raw(1, "metadata", {"run_id": "r"}), own(2, "values", {"n": 1}))) == [
        running(),
        ("values", "", {"n": 1}),
    ]
    assert brief(told(own(7, "values", {"n": 1}))) == [running(), ("values", "", {"n": 1})]


def test_updates_name_their_node_and_custom_data_their_payload() -> None:
    events = told(
        own(1, "updates", {"speak": {"n": 1}}),
        own(2, "custom", {"progress": 1}),
        own(3, "custom:scores", [1, 2], CHILD),
    )
    assert brief(events)[1:] == [
        ("updates", "", {"node": "speak", "values": {"n": 1}}),
        ("custom", "", {"payload": {"progress": 1}}),
        ("custom", CHILD, {"name": "scores", "payload": [1, 2]}),
    ]
    assert events[1]["params"]["node"] == "speak"


def test_an_interrupt_is_told_once_however_often_it_is_seen_and_then_that_the_run_has_stopped() -> None:
    interrupt = {"id": "i", "value": "sure?", "response_schema": None}
    events = told(
        own(1, "updates", {"__interrupt__": [interrupt]}, CHILD),
        own(2, "values", {"n": 1}, CHILD, interrupts=[interrupt]),
        own(3, "updates", {"__interrupt__": [interrupt]}),
        own(4, "values", {"n": 1}, interrupts=[interrupt]),
    )
    assert brief(events) == [
        running(),
        ("input.requested", CHILD, {"interrupt_id": "i", "payload": "sure?", "value": "sure?"}),
        ("lifecycle", "", {"event": "interrupted", "graph_name": "talk"}),
        ("values", CHILD, {"n": 1}),
        ("values", "", {"n": 1}),
    ]
    assert all("interrupts" not in one["params"] for one in events)


def test_a_run_that_stopped_for_a_human_does_not_end_a_second_time_unless_it_fails() -> None:
    for status, expected in ((RunStatus.SUCCESS, []), (RunStatus.ERROR, ["failed"])):
        telling = Telling(RUN)
        told(own(1, "values", {}, interrupts=[{"id": "i", "value": 1}]), telling=telling)
        error = {"error": "ValueError", "message": "no"} if status is RunStatus.ERROR else None
        assert [one["params"]["data"]["event"] for one in telling.end(ended(status, error=error))] == expected


def test_interrupts_of_a_run_of_other_origin_are_taken_out_of_its_values() -> None:
    values = {"n": 1, "__interrupt__": [{"id": "i", "value": 7}]}
    assert brief(told(raw(1, "values", values)))[1:] == [
        ("input.requested", "", {"interrupt_id": "i", "payload": 7, "value": 7}),
        ("lifecycle", "", {"event": "interrupted", "graph_name": "talk"}),
        ("values", "", {"n": 1}),
    ]


@pytest.mark.parametrize("name", ["messages/partial", "messages", "debug", "checkpoints", "events", "metadata"])
def test_what_the_protocol_has_in_another_form_is_not_told_of_a_run_of_other_origin(name: str) -> None:
    assert brief(told(raw(1, name, [{"id": 1}, {}]))) == [running()]


def test_a_subgraph_is_told_to_begin_and_to_end_once() -> None:
    started = {"event": "started", "namespace": [CHILD], "graph_name": "child", "trigger_call_id": "3f2a"}
    over = {"event": "completed", "namespace": [CHILD]}
    events = told(
        own(1, "lifecycle", started, CHILD),
        own(2, "lifecycle", started, CHILD),
        own(3, "lifecycle", over, CHILD),
        own(4, "lifecycle", over, CHILD),
    )
    assert [(where, data["event"], data["graph_name"]) for _, where, data in brief(events)[1:]] == [
        (CHILD, "started", "child"),
        (CHILD, "completed", "child"),
    ]


def test_subgraphs_that_are_open_at_the_end_are_closed_before_the_root_the_innermost_first() -> None:
    telling = Telling(RUN)
    inner = (CHILD, "deep:1")
    told(
        own(1, "lifecycle", {"event": "started", "namespace": [CHILD]}, CHILD),
        own(2, "lifecycle", {"event": "started", "namespace": list(inner)}, *inner),
        telling=telling,
    )
    assert [(where, data["event"]) for _, where, data in brief(telling.end(ended(RunStatus.SUCCESS)))] == [
        ("|".join(inner), "completed"),
        (CHILD, "completed"),
        ("", "completed"),
    ]


def test_every_end_of_a_run_has_its_word() -> None:
    assert set(ENDED_AS) == TERMINAL


def test_a_failed_run_tells_its_error() -> None:
    telling = Telling(RUN)
    told(own(1, "values", {}), telling=telling)
    (end,) = telling.end(ended(RunStatus.ERROR, error={"error": "ValueError", "message": "lost"}))
    assert end["params"]["data"] == {"event": "failed", "graph_name": "talk", "error": "lost"}
    assert end["params"]["timestamp"] == int(datetime(2026, 11, 24, 0, 1, tzinfo=UTC).timestamp() * 1000)


def test_seq_grows_and_ids_are_unique_over_events_drivers_and_the_end() -> None:
    telling = Telling(RUN)
    interrupts = [{"id": str(place), "value": place} for place in range(3)]
    events = told(
        raw(1, "metadata", {}),
        own(2, "values", {"n": 1}, interrupts=interrupts),
        own(3, "values", {"n": 2}),
        raw(1, "metadata", {}, epoch=EPOCH + 1),
        own(2, "values", {"n": 3}, epoch=EPOCH + 1),
        telling=telling,
    )
    events += telling.end(ended(RunStatus.INTERRUPTED))
    seqs = [one["seq"] for one in events]
    assert seqs == sorted(set(seqs))
    assert len({one["event_id"] for one in events}) == len(events)


def test_two_readers_of_a_run_find_the_same_ids_and_seqs() -> None:
    events = [own(1, "values", {}), own(2, "updates", {"a": {}, "b": {}}), own(3, "custom", 1)]
    assert told(*events) == told(*events)


def test_a_run_without_events_ends_where_its_time_puts_it() -> None:
    (end,) = Telling(RUN).end(ended(RunStatus.INTERRUPTED))
    assert end["seq"] > seq_of(EventId(int(RUN.created_at.timestamp() * 1000), 10_000))
    assert end["params"]["data"]["event"] == "interrupted"


def test_seq_stays_exact_in_javascript_for_decades_and_overflows_within_an_event_only() -> None:
    in_2080 = int(datetime(2080, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert seq_of(EventId(in_2080, 1_000_000)) < LARGEST_EXACT
    assert seq_of(EventId(EPOCH_ZERO, 1), 40) < seq_of(EventId(EPOCH_ZERO, 2))


VALUES = told(own(1, "values", {}))[1]
DEEP = told(own(1, "values", {}, CHILD, "deep:1"))[1]
NAMED = told(own(1, "custom:scores", 1))[1]
UNNAMED = told(own(1, "custom", 1))[1]
ASKED = told(own(1, "values", {}, interrupts=[{"id": "i", "value": 1}]))[1]


@pytest.mark.parametrize(
    ("subscription", "wanted"),
    [
        (Subscription(frozenset({"values"})), [VALUES, DEEP]),
        (Subscription(frozenset({"custom"})), [NAMED, UNNAMED]),
        (Subscription(frozenset({"custom:scores"})), [NAMED]),
        (Subscription(frozenset({"custom:other"})), []),
        (Subscription(frozenset({"input"})), [ASKED]),
        (Subscription(frozenset({"values"}), (("child",),)), [DEEP]),
        (Subscription(frozenset({"values"}), ((CHILD,),)), [DEEP]),
        (Subscription(frozenset({"values"}), (("child:other",),)), []),
        (Subscription(frozenset({"values"}), (("chi",),)), []),
        (Subscription(frozenset({"values"}), ((CHILD, "deep", "deeper"),)), []),
        (Subscription(frozenset({"values"}), ((),), depth=0), [VALUES]),
        (Subscription(frozenset({"values"}), ((),), depth=1), [VALUES]),
        (Subscription(frozenset({"values"}), ((),), depth=2), [VALUES, DEEP]),
        (Subscription(frozenset({"values"}), (("other",), ("child",)), depth=1), [DEEP]),
        (Subscription(frozenset({"values"}), since=VALUES["seq"]), []),
        (Subscription(frozenset({"values"}), since=VALUES["seq"] - 1), [VALUES, DEEP]),
    ],
)
def test_a_subscription_wants_what_it_names(subscription: Subscription, wanted: list[ProtocolEvent]) -> None:
    found = [one for one in (VALUES, DEEP, NAMED, UNNAMED, ASKED) if subscription.wants(one)]
    assert found == wanted
