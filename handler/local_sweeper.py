"""The local server's stand-in for DynamoDB's TTL: looks for threads that are due, in this very process."""

import logging
import threading

from handler.domain.ports import Clock, ThreadStore
from handler.errors import ServiceError
from handler.runs.expiry import Expiry
from handler.runs.loop import GraphLoop

log = logging.getLogger(__name__)

DAYS_BACK = 60
"""How far back the first look goes, in days: what was due while no server ran."""


class LocalSweeper:
    """Looks on a thread, every so many minutes, and attends to each thread on the graph loop."""

    def __init__(
        self, threads: ThreadStore, expiry: Expiry, loop: GraphLoop, clock: Clock, interval_minutes: float
    ) -> None:
        self.threads = threads
        self.expiry = expiry
        self.loop = loop
        self.clock = clock
        self.interval_s = interval_minutes * 60
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sweep_on, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join(5)

    def sweep(self, days_back: int = 1) -> int:
        """Attend to what is due, and return how many threads that were."""
        attended = 0
        now = self.clock()
        for key, tenant, thread_id in self.threads.due(days_back, now):
            self.loop.submit(self.expiry.attend(tenant, thread_id)).result()
            self.threads.disarm(key)
            attended += 1
        return attended

    def _sweep_on(self) -> None:
        days_back = DAYS_BACK
        while not self._stopped.is_set():
            try:
                self.sweep(days_back)
                days_back = 1
            except (ServiceError, OSError) as error:
                log.warning("sweeping failed", extra={"error": type(error).__name__})
            self._stopped.wait(self.interval_s)
