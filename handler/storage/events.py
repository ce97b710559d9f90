"""Stream events in DynamoDB, in batches that are read in order from any event on."""

import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta

from pydantic_core import from_json, to_json

from handler.domain.events import Event, EventId
from handler.domain.models import Run
from handler.domain.ports import Clock
from handler.storage import event_statements as statements
from handler.storage import keys
from handler.storage.event_statements import BODY, CUT, PIECES
from handler.storage.table import Item, Table

PIECE_BYTES = 350_000
"""Most bytes of events in one item, of the 400 KB that DynamoDB takes."""

PAGE_BYTES = 2_000_000
"""About how many bytes one reading returns, packed; who wants more reads on from the last."""


class DynamoDBEvents:
    """The port `EventStore` over one table."""

    def __init__(self, table: Table, clock: Clock, kept_for: timedelta) -> None:
        self.table = table
        self.clock = clock
        self.kept_for = kept_for

    def append(self, run: Run, events: Sequence[Event], cut: EventId | None = None) -> int:
        """Store events of one epoch as a batch; returns the bytes that it takes.

        Pieces that do not fit are written before the batch that counts them, so that it is never seen without them.
        """
        packed = pack(events)
        bodies = [packed[start : start + PIECE_BYTES] for start in range(0, len(packed), PIECE_BYTES)]
        pieces = len(bodies) - 1
        batch = statements.batch_item(run, events[-1].id, bodies[0], self._expires_at(), pieces=pieces, cut=cut)
        for place, body in enumerate(bodies[1:], 1):
            self.table.put(statements.put(statements.piece_item(batch, place, body)))
        self.table.put(statements.put(batch))
        return len(packed)

    def read(self, run: Run, after: EventId) -> Sequence[Event]:
        """The events behind `after`, as many as one reading returns; none if there are none yet."""
        found: list[Event] = []
        size = 0
        for batch, body, cut in self._batches(run, after):
            if cut is not None:
                # A driver took over here: what the one before stored after that was no part of the stream any more.
                found = [event for event in found if event.id <= cut]
            found += [event for event in unpack(batch, body) if event.id > after]
            size += len(body)
            if size > PAGE_BYTES:
                break
        return found

    def last(self, run: Run, before_epoch: int | None) -> EventId | None:
        """The last event stored, or the last before an epoch."""
        items, _ = self.table.query_page(statements.read_last(run, before_epoch))
        for item in items:
            epoch, number, _piece = keys.events_of(item[keys.SK]["S"])
            return EventId(epoch, number)
        return None

    def follow(self, run: Run) -> None:
        """Ask whoever drives the run to store its events from now on."""
        self.table.put(statements.put(statements.follow_item(run, self._expires_at())))

    def is_followed(self, run: Run) -> bool:
        """Whether somebody asked so."""
        request = {"Key": statements.follow_key(run), "ConsistentRead": True}
        return self.table.get(request) is not None

    def _batches(self, run: Run, after: EventId) -> Iterator[tuple[EventId, bytes, EventId | None]]:
        """Each whole batch: its last event's id, its body, and its cut."""
        batch: Item | None = None
        left, body = 0, b""
        for item in self.table.query(statements.read_after(run, after)):
            epoch, number, piece = keys.events_of(item[keys.SK]["S"])
            if not piece:
                batch, body = item, item[BODY]["B"]
                left = int(item[PIECES]["N"]) if PIECES in item else 0
            elif batch is None or not left:
                continue  # its batch is not there yet
            else:
                body += item[BODY]["B"]
                left -= 1
            if not left:
                yield EventId(epoch, number), body, EventId.parse(batch[CUT]["S"]) if CUT in batch else None
                batch = None

    def _expires_at(self) -> int:
        return int((self.clock() + self.kept_for).timestamp())


def pack(events: Sequence[Event]) -> bytes:
    """Events of one epoch, compressed: `[number, name, data]` each."""
    return zlib.compress(to_json([[event.id.number, event.name, event.data.decode()] for event in events]), 6)


def unpack(last: EventId, body: bytes) -> list[Event]:
    """The events that `pack` compressed, in the epoch of the batch's last."""
    return [
        Event(EventId(last.epoch, number), name, data.encode())
        for number, name, data in from_json(zlib.decompress(body))
    ]
