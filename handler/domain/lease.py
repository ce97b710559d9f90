"""The lease on a thread: who may drive it, until when, and the fencing epoch that orders its holders."""

from dataclasses import dataclass

LEASE_MS = 60_000
"""How long a lease lasts unless renewed, in milliseconds."""

HEARTBEAT_S = 20.0
"""How often a driver renews its lease, in seconds; a shorter run never does."""

CLOCK_SKEW_MS = 2_000
"""How far two machines' clocks may differ: a lease counts as dead only this long after its end, in milliseconds."""

WATCHDOG_MARGIN_S = 3
"""How long after the death of a lease a worker looks at its run, in seconds."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """The times by which leases are granted; every process of a deployment has the same."""

    lasts_ms: int = LEASE_MS
    skew_ms: int = CLOCK_SKEW_MS
    heartbeat_s: float = HEARTBEAT_S

    @property
    def watchdog_s(self) -> int:
        """When a worker looks whether a run is still driven: just after a lease taken now would be dead."""
        return (self.lasts_ms + self.skew_ms) // 1000 + WATCHDOG_MARGIN_S

    def next_look_s(self, lease: "Lease | None", now_ms: int) -> int:
        """When a worker looks again that found this lease: just after it would be dead; as for a new one if it is."""
        left_ms = lease.until_ms + self.skew_ms - now_ms if lease is not None else -1
        return min(left_ms // 1000 + WATCHDOG_MARGIN_S, self.watchdog_s) if left_ms >= 0 else self.watchdog_s


STANDARD_TERMS = LeaseTerms()
"""What holds unless a test is in a hurry."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One holder's right to drive a thread. Safety rests on the checkpointer's sequence, never on `until_ms`."""

    owner: str
    """Unique to one acquisition, so that a retry recognises its own write."""
    epoch: int
    """Grows with every acquisition and never falls."""
    until_ms: int
    """End of the lease, in milliseconds since 1970."""

    def is_dead(self, now_ms: int, terms: LeaseTerms = STANDARD_TERMS) -> bool:
        """Whether others may try to take over."""
        return self.until_ms + terms.skew_ms < now_ms
