"""Keeps a Lambda sandbox from freezing until the runs it drives have ended: an internal extension.

Lambda ──INVOKE──▶ extension: waits until the handler has returned, then until the held work is done, then asks for
   │                          its next event, and only then does Lambda freeze the sandbox
   └──event──────▶ handler:   answers; the answer goes out at once
"""

import http.client
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable

log = logging.getLogger(__name__)

EXTENSION_NAME = "langgraph-lambda-hold"
API = "/2020-01-01/extension"
REMEMBERED = 100


class Hold:
    """The extension: a thread that lies between one invocation's end and the next one's start."""

    def __init__(
        self,
        busy: Callable[[], bool],
        wait_until_idle: Callable[[float], None],
        before_freeze: Callable[[], object] = lambda: None,
    ) -> None:
        self.active = False
        self._busy = busy
        self._wait_until_idle = wait_until_idle
        self._before_freeze = before_freeze
        self._returned: OrderedDict[str, None] = OrderedDict()
        self._changed = threading.Condition()

    def start(self, runtime_api: str | None = None) -> None:
        """Register with Lambda; where that fails, `active` stays false and drivers end with their response."""
        runtime_api = runtime_api or os.environ.get("AWS_LAMBDA_RUNTIME_API")
        if not runtime_api:
            return
        try:
            identifier = self._register(runtime_api)
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.warning("extension not registered", extra={"error": type(error).__name__})
            return
        self.active = True
        threading.Thread(target=self._serve, args=(runtime_api, identifier), name="hold", daemon=True).start()

    def returned(self, request_id: str) -> None:
        """The handler has returned from this invocation, so that all its work is registered."""
        with self._changed:
            self._returned[request_id] = None
            while len(self._returned) > REMEMBERED:
                self._returned.popitem(last=False)
            self._changed.notify_all()

    def _register(self, runtime_api: str) -> str:
        connection = http.client.HTTPConnection(runtime_api, timeout=5)
        headers = {"Lambda-Extension-Name": EXTENSION_NAME, "Content-Type": "application/json"}
        connection.request("POST", f"{API}/register", json.dumps({"events": ["INVOKE"]}), headers)
        response = connection.getresponse()
        response.read()
        identifier = response.getheader("Lambda-Extension-Identifier")
        if response.status != 200 or not identifier:
            raise ValueError(f"registration answered {response.status}")
        return identifier

    def _serve(self, runtime_api: str, identifier: str) -> None:
        connection = http.client.HTTPConnection(runtime_api)  # no timeout: the next event may be hours away
        while True:
            try:
                connection.request("GET", f"{API}/event/next", headers={"Lambda-Extension-Identifier": identifier})
                event = json.loads(connection.getresponse().read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                log.warning("extension stopped", extra={"error": type(error).__name__})
                self.active = False
                return
            if event.get("eventType") != "INVOKE":
                return
            self._outlast(str(event.get("requestId")))

    def _outlast(self, request_id: str) -> None:
        """Wait for the handler's return first, and only then for the work: before it, none may be registered yet."""
        with self._changed:
            self._changed.wait_for(lambda: request_id in self._returned)
        while self._busy():
            self._wait_until_idle(1.0)
        self._before_freeze()
