"""Stream events as they are stored: in order, whole, without what a superseded driver adds."""

import json
import time
import uuid
from datetime import timedelta

import pytest

from handler.domain.events import BEFORE_ALL, Event, EventId
from handler.domain.models import Run, new_run_id, utc_now
from handler.domain.status import RunStatus
from handler.storage import keys
from handler.storage.events import PIECE_BYTES, DynamoDBEvents
from handler.storage.table import Table
from tests.integration.conftest import everything


def new_run() -> Run:
    """A run that only its events tell of."""
    now = utc_now()
    return Run("t", str(uuid.uuid4()), new_run_id(), "a", "g", RunStatus.RUNNING, now, now, "enqueue")


def numbered(epoch: int, first: int, count: int, size: int = 10) -> list[Event]:
    """Events that tell their place."""
    return [Event(EventId(epoch, number), "values", b"%0*d" % (size, number)) for number in range(first, first + count)]


@pytest.fixture
def store(table: Table) -> DynamoDBEvents:
    """The store over each engine."""
    return DynamoDBEvents(table, utc_now, timedelta(hours=1))


def test_events_are_read_in_order_from_any_of_them_on(store: DynamoDBEvents) -> None:
    run = new_run()
    events = [*numbered(100, 1, 7), *numbered(2000, 1, 4)]
    for batch in (events[:3], events[3:7], events[7:9], events[9:]):
        store.append(run, batch)
    assert store.read(run, BEFORE_ALL) == events
    for place, event in enumerate(events):
        assert store.read(run, event.id) == events[place + 1 :]
    assert store.read(new_run(), BEFORE_ALL) == []
    assert (store.last(run, None), store.last(run, 2000), store.last(run, 100)) == (events[-1].id, events[6].id, None)


def test_a_batch_larger_than_an_item_is_read_whole_or_not_at_all(store: DynamoDBEvents) -> None:
    run = new_run()
    incompressible = Event(EventId(5, 1), "custom", json.dumps(noise(6 * PIECE_BYTES)).encode())
    store.append(run, [incompressible])
    assert store.read(run, BEFORE_ALL) == [incompressible]
    items = [item for item in everything(store.table) if item["SK"]["S"].startswith(keys.EVENT_PREFIX)]
    assert len(items) >= 3
    batch = min(items, key=lambda item: str(item["SK"]["S"]))
    store.table.delete({"Key": {name: batch[name] for name in ("PK", "SK")}})
    assert store.read(run, BEFORE_ALL) == []
    store.append(run, numbered(5, 2, 1))
    assert store.read(run, BEFORE_ALL) == numbered(5, 2, 1)


def noise(length: int) -> str:
    """Text that compresses to half of its length."""
    return "".join(uuid.uuid4().hex for _ in range(length // 32))


def test_what_a_superseded_driver_stores_late_is_not_read(store: DynamoDBEvents) -> None:
    run = new_run()
    store.append(run, numbered(100, 1, 3))
    cut = store.last(run, 200)
    store.append(run, numbered(200, 1, 2), cut)
    store.append(run, numbered(100, 4, 2))
    assert store.read(run, BEFORE_ALL) == [*numbered(100, 1, 3), *numbered(200, 1, 2)]
    assert store.read(run, EventId(100, 3)) == numbered(200, 1, 2)


def test_storing_a_batch_twice_is_storing_it_once(store: DynamoDBEvents) -> None:
    run = new_run()
    for _ in range(2):
        store.append(run, numbered(100, 1, 3))
    assert store.read(run, BEFORE_ALL) == numbered(100, 1, 3)


def test_a_follower_elsewhere_is_seen(store: DynamoDBEvents) -> None:
    run = new_run()
    assert not store.is_followed(run)
    store.follow(run)
    assert store.is_followed(run)
    assert store.read(run, BEFORE_ALL) == []


def test_events_expire(store: DynamoDBEvents) -> None:
    run = new_run()
    store.append(run, numbered(100, 1, 1))
    store.follow(run)
    within = [int(item["expires_at"]["N"]) - time.time() for item in everything(store.table)]
    assert len(within) == 2
    assert all(3590 < seconds <= 3600 for seconds in within)
