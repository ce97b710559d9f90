"""The events of a run's stream, and the ids by which a reader says how far it has come."""

from dataclasses import dataclass
from typing import NamedTuple


class EventId(NamedTuple):
    """A place in a run's stream: ids grow from event to event, and from each driver of the run to the next.

    The epoch is that of the driver's lease. What a driver that was superseded still emits stays below what its
    successor emits.
    """

    epoch: int
    number: int
    """Counts the events of one driver from 1."""

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> "EventId | None":
        """The id in a Last-Event-ID header; `-1` is the place before all events; None for what is no id of ours."""
        if text == "-1":
            return BEFORE_ALL
        epoch, _, number = text.partition("-")
        if not (epoch.isdecimal() and number.isdecimal() and len(text) <= LONGEST_ID):
            return None
        return cls(int(epoch), int(number))


BEFORE_ALL = EventId(0, 0)
"""The place before all events."""

LONGEST_ID = 25
"""Characters of the longest id: 14 digits of an epoch, 10 of a number."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, ready to be sent."""

    id: EventId
    name: str
    """The stream mode, as the SDKs know it: `values`, `messages/partial`, `updates|child:…`."""
    data: bytes
    """JSON."""
