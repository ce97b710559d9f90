"""The local server's worker: takes wake-ups off the embedded queue, as Lambda would, in this very process."""

import logging
import threading
from concurrent.futures import Future
from functools import partial

from handler.errors import StorageUnavailable
from handler.runs.attendant import Attendant
from handler.runs.loop import GraphLoop
from handler.storage.queue import SqsWakes

log = logging.getLogger(__name__)

WAIT_S = 1
PARALLEL = 50


class LocalWorker:
    """Polls the queue on a thread and attends to each message on the graph loop."""

    def __init__(self, wakes: SqsWakes, attendant: Attendant, loop: GraphLoop) -> None:
        self.wakes = wakes
        self.attendant = attendant
        self.loop = loop
        self._stopped = threading.Event()
        self._slots = threading.BoundedSemaphore(PARALLEL)
        self._thread = threading.Thread(target=self._poll, name="worker", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Poll no more; runs that are being driven here go on."""
        self._stopped.set()
        self._thread.join(WAIT_S + 5)

    def _poll(self) -> None:
        while not self._stopped.is_set():
            try:
                for receipt, message in self.wakes.receive(wait_s=WAIT_S, limit=10):
                    self._slots.acquire()
                    done = self.loop.submit(self.attendant.take(message))
                    done.add_done_callback(partial(self._finish, receipt))
            except (StorageUnavailable, OSError, ValueError) as error:  # a message that is none comes again, then goes
                log.warning("polling failed", extra={"error": type(error).__name__})
                self._stopped.wait(WAIT_S)

    def _finish(self, receipt: str, future: "Future[None]") -> None:
        self._slots.release()
        error = future.exception()
        if error is None:
            threading.Thread(target=self._acknowledge, args=(receipt,), daemon=True).start()
        else:
            log.error("message failed", exc_info=error)

    def _acknowledge(self, receipt: str) -> None:
        try:
            self.wakes.done(receipt)
        except StorageUnavailable as error:  # it comes again, and finds its run ended
            log.warning("acknowledgement failed", extra={"error": type(error).__name__})
