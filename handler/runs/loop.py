"""The one long-lived event loop on which graphs run, on a thread of its own, whatever loop serves the requests."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class GraphLoop:
    """An event loop on a daemon thread, started when it is first used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Start `work` on the loop; the future is for other threads, or for `asyncio.wrap_future`."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await `work`, run on the loop, from another loop; cancelling the wait cancels the work."""
        return await asyncio.wrap_future(self.submit(work))

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="graphs", daemon=True).start()
            return self._loop
