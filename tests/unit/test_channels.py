"""The stream of a run within a process: what is made, what is kept, and whose events count."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from handler.domain.events import BEFORE_ALL, Event, EventId
from handler.domain.lease import Lease
from handler.domain.models import Claim, Run, utc_now
from handler.domain.status import RunStatus
from handler.errors import StorageUnavailable
from handler.runs import channels
from handler.runs.channels import Channel, Channels


class Kept:
    """An event store in memory."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Event]] = []
        self.cuts: list[EventId | None] = []
        self.followed = False
        self.failures = 0
        self.found: EventId | None = None

    @property
    def names(self) -> list[str]:
        """The names of all events stored."""
        return [event.name for batch in self.batches for event in batch]

    def append(self, run: Run, events: Sequence[Event], cut: EventId | None = None) -> int:
        """Store a batch, or fail."""
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("out of reach")
        self.batches.append(events)
        self.cuts.append(cut)
        return sum(len(event.data) for event in events)

    def read(self, run: Run, after: EventId) -> Sequence[Event]:
        """The events behind a place."""
        return [event for batch in self.batches for event in batch if event.id > after]

    def last(self, run: Run, before_epoch: int | None) -> EventId | None:
        """What it was told to find."""
        return self.found

    def follow(self, run: Run) -> None:
        """Note a follower."""
        self.followed = True

    def is_followed(self, run: Run) -> bool:
        """Whether there is one."""
        return self.followed


class Follower:
    """One who counts how often the channel changed."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        """Count."""
        self.woken += 1


def claim(epoch: int = 100, attempt: int = 1, *, clean: bool = True, **kwargs: Any) -> Claim:
    """A claim on a run."""
    now = utc_now()
    run = Run("t", "thread", "run", "a", "g", RunStatus.RUNNING, now, now, "enqueue", kwargs=kwargs, attempt=attempt)
    return Claim(run, Lease("o", epoch, 0), clean=clean, resumes=attempt > 1)


def channel_of(store: Kept, claimed: Claim, most_bytes: int = 10_000) -> Channel:
    """The channel of a run that is driven."""
    channel = Channels(store, most_bytes).of(claimed.run)
    channel.begin(claimed)
    return channel


async def finished(channel: Channel, epoch: int = 100) -> None:
    """The drive ends."""
    await channel.flush()
    channel.close(epoch)


async def test_a_run_that_nobody_streams_makes_and_stores_nothing() -> None:
    store = Kept()
    channel = channel_of(store, claim())
    await channel.open(claim(), elsewhere=False)
    channel.publish(100, "values", {})
    await finished(channel)
    assert (channel.after(BEFORE_ALL), store.batches) == ([], [])
    assert channel.idle


async def test_a_streamed_run_is_in_memory_until_its_follower_leaves() -> None:
    store, claimed = Kept(), claim(stream=True)
    channel = channel_of(store, claimed)
    channel.followers.add(follower := Follower())
    await channel.open(claimed, elsewhere=False)
    channel.publish(100, "values", {"n": 1})
    assert [event.name for event in channel.after(BEFORE_ALL)] == ["metadata", "values"]
    assert (store.batches, follower.woken) == ([], 2)
    channel.keep()
    channel.publish(100, "updates", {})
    await finished(channel)
    assert store.names == ["metadata", "values", "updates"]
    assert [str(event.id) for batch in store.batches for event in batch] == ["100-1", "100-2", "100-3"]


@pytest.mark.parametrize(
    ("kwargs", "elsewhere", "attempt", "followed", "stored"),
    [
        ({}, True, 1, False, False),
        ({}, True, 1, True, True),
        ({}, False, 2, True, True),
        ({"stream": True}, False, 1, False, False),
        ({"stream": True}, True, 1, False, True),
        ({"stream": True}, False, 2, False, True),
        ({"resumable": True}, False, 1, False, True),
    ],
)
async def test_what_is_kept_from_the_beginning(
    kwargs: dict[str, Any], elsewhere: bool, attempt: int, followed: bool, stored: bool
) -> None:
    store, claimed = Kept(), claim(attempt=attempt, **kwargs)
    store.followed = followed
    channel = channel_of(store, claimed)
    await channel.open(claimed, elsewhere=elsewhere)
    channel.publish(100, "values", {})
    await finished(channel)
    assert bool(store.batches) == stored


async def test_a_follower_elsewhere_is_seen_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LOOK_S", 0.001)
    store = Kept()
    channel = channel_of(store, claim())
    await channel.open(claim(), elsewhere=True)
    watching = asyncio.create_task(channel.watch(elsewhere=True))
    channel.publish(100, "values", {"n": 1})
    store.followed = True
    await asyncio.wait_for(watching, 5)
    channel.publish(100, "updates", {})
    await finished(channel)
    assert store.names == ["updates"]


async def test_metadata_tell_of_each_attempt_but_not_of_a_hand_off_of_what_had_begun() -> None:
    handed_on, taken_over = claim(200, 2, stream=True), claim(300, 3, clean=False, stream=True)
    for claimed, repeats, names in (
        (handed_on, True, ["values"]),
        (handed_on, False, ["metadata", "values"]),
        (taken_over, False, ["metadata", "values"]),
    ):
        store = Kept()
        channel = channel_of(store, claimed)
        await channel.open(claimed, elsewhere=True, repeats=repeats)
        channel.publish(claimed.lease.epoch, "values", {})
        await finished(channel, claimed.lease.epoch)
        assert store.names == names


async def test_who_takes_over_notes_where_the_stream_before_ends() -> None:
    store, claimed = Kept(), claim(300, 2, clean=False, stream=True)
    store.found = EventId(100, 7)
    channel = channel_of(store, claimed)
    await channel.open(claimed, elsewhere=True)
    await finished(channel, 300)
    assert store.cuts == [EventId(100, 7)]


async def test_a_superseded_drive_of_the_same_process_publishes_nothing_more() -> None:
    store, old, new = Kept(), claim(100, stream=True), claim(200, 2, clean=False, stream=True)
    channel = channel_of(store, old)
    channel.publish(100, "values", {})
    channel.begin(new)
    channel.publish(100, "values", {})
    channel.publish(200, "values", {})
    channel.close(100)
    assert channel.driven
    assert [str(event.id) for event in channel.after(BEFORE_ALL)] == ["100-1", "200-1"]


async def test_storage_out_of_reach_costs_the_stream_and_not_the_run() -> None:
    store, claimed = Kept(), claim(resumable=True)
    store.failures = 2
    channel = channel_of(store, claimed)
    await channel.open(claimed, elsewhere=False)
    await finished(channel)
    assert store.names == ["metadata"]
    store.failures = 100
    again = channel_of(store, claimed)
    await again.open(claimed, elsewhere=False)
    await finished(again)
    assert store.names == ["metadata"]


async def test_no_more_is_kept_than_the_setting_allows_which_leaves_those_who_follow_here_alone() -> None:
    store, claimed = Kept(), claim(resumable=True)
    channel = channel_of(store, claimed, most_bytes=100)
    await channel.open(claimed, elsewhere=False)
    for _ in range(10):
        channel.publish(100, "values", "x" * 40)
        await channel.flush()
    await finished(channel)
    assert 1 < len(store.names) < 6
    assert len(channel.after(BEFORE_ALL)) == 11


async def test_memory_is_bounded_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handler.runs.channels.MEMORY_BYTES", 100)
    claimed = claim(resumable=True)
    channel = channel_of(Kept(), claimed, most_bytes=50)
    await channel.open(claimed, elsewhere=False)
    for _ in range(10):
        channel.publish(100, "values", "x" * 40)
    await finished(channel)
    assert len(channel.after(BEFORE_ALL)) == 2
    assert channel.dropped == EventId(100, 9)


async def test_nothing_is_stored_where_the_setting_is_none() -> None:
    store, claimed = Kept(), claim(resumable=True, stream=True)
    channel = channel_of(store, claimed, most_bytes=0)
    await channel.open(claimed, elsewhere=True)
    await finished(channel)
    assert store.batches == []
    assert [event.name for event in channel.after(BEFORE_ALL)] == ["metadata"]


def test_an_idle_channel_is_forgotten_and_one_that_is_followed_is_not() -> None:
    known = Channels(Kept(), 10)
    run = claim().run
    channel = known.of(run)
    channel.followers.add(Follower())
    known.let_go(channel)
    assert known.of(run) is channel
    channel.followers.clear()
    known.let_go(channel)
    assert known.of(run) is not channel


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("-1", BEFORE_ALL),
        ("1795-12", EventId(1795, 12)),
        ("", None),
        ("x", None),
        ("1-", None),
        ("1" * 30 + "-1", None),
    ],
)
def test_an_id_is_read_as_it_is_written(text: str, place: EventId | None) -> None:
    assert EventId.parse(text) == place
    if place and place != BEFORE_ALL:
        assert str(place) == text
