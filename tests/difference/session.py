"""One scenario's conversation with one server: makes its calls and keeps what was answered."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.difference.exchange import Exchange, exchange_of
from tests.javascript import sdk_entry

CALLS = Path(__file__).with_name("calls.mjs")

CALL_TIMEOUT_S = 30.0
"""How long one call may take, in seconds."""

UNKNOWN = "11111111-2222-4333-8444-555555555555"
"""A UUID that names nothing."""

SYSTEM_NAMESPACE = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")

NOTHING: Any = object()
"""Stands for a body that is not sent."""


def assistant(graph: str) -> str:
    """The id of a graph's own assistant, the same on both servers."""
    return str(uuid.uuid5(SYSTEM_NAMESPACE, graph))


class Session:
    """Calls that are compared; those of `quiet` are not, they only prepare."""

    def __init__(self, url: str, transcript: list[Exchange] | None = None) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=CALL_TIMEOUT_S, trust_env=False)
        self.transcript: list[Exchange] = [] if transcript is None else transcript
        self.tag = str(uuid.uuid4())

    @cached_property
    def quiet(self) -> "Session":
        """The same server, with nobody listening."""
        return Session(self.url)

    @cached_property
    def thread(self) -> str:
        """A fresh thread."""
        return str(self.quiet.post("/threads", {})["thread_id"])

    @property
    def at(self) -> str:
        """The path of the fresh thread."""
        return f"/threads/{self.thread}"

    def call(
        self,
        method: str,
        path: str,
        body: Any = NOTHING,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Exchange:
        """Make a call and keep its answer."""
        given: dict[str, Any] = {} if body is NOTHING else {"json": body}
        if content is not None:
            given = {"content": content}
        deadline = time.monotonic() + CALL_TIMEOUT_S
        request = self.client.build_request(method, path, params=params, headers=headers, **given)
        response = self.client.send(request, stream=True)
        try:
            answered = bytearray()
            for part in response.iter_bytes():
                answered += part
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{method} {path} was not answered in {CALL_TIMEOUT_S:.0f} s")
        finally:
            response.close()
        return self.keep(exchange_of(f"{method} {path}", response, bytes(answered)))

    def keep(self, exchange: Exchange) -> Exchange:
        """Keep an answer to be compared."""
        self.transcript.append(exchange)
        return exchange

    def get(self, path: str, **options: Any) -> Exchange:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = NOTHING, **options: Any) -> Exchange:
        """POST."""
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = NOTHING, **options: Any) -> Exchange:
        """PUT."""
        return self.call("PUT", path, body, **options)

    def patch(self, path: str, body: Any = NOTHING, **options: Any) -> Exchange:
        """PATCH."""
        return self.call("PATCH", path, body, **options)

    def delete(self, path: str, body: Any = NOTHING, **options: Any) -> Exchange:
        """DELETE."""
        return self.call("DELETE", path, body, **options)

    def wait(self, graph: str = "log", given: Any = NOTHING, **fields: Any) -> Exchange:
        """Wait for a run on the fresh thread."""
        more = {} if given is NOTHING else {"input": given}
        return self.post(f"{self.at}/runs/wait", {"assistant_id": graph, **more, **fields})

    def ran(self, graph: str = "log", given: Any = NOTHING, **fields: Any) -> Exchange:
        """Wait for a run on the fresh thread, without comparing its answer."""
        more = {} if given is NOTHING else {"input": given}
        answer = self.quiet.post(f"{self.at}/runs/wait", {"assistant_id": graph, **more, **fields})
        if answer.status != 200:
            raise RuntimeError(f"a run that only prepares was answered {answer.status}: {answer.body}")
        return answer

    def started(self, graph: str = "log", given: Any = NOTHING, **fields: Any) -> str:
        """Start a run on the fresh thread in the background, without comparing its answer; its id."""
        more = {} if given is NOTHING else {"input": given}
        return str(self.quiet.post(f"{self.at}/runs", {"assistant_id": graph, **more, **fields})["run_id"])

    def history(self) -> Any:
        """The states of the fresh thread, newest first, without comparing them."""
        return self.quiet.post(f"{self.at}/history", {"limit": 100}).body

    def until(self, path: str, condition: Callable[[Any], bool]) -> None:
        """Look at a path again and again, for 20 s at most, until its answer is as wanted."""
        for _ in range(200):
            if condition(self.quiet.get(path).body):
                return
            time.sleep(0.1)
        raise TimeoutError(f"{path} was never as it was waited for")

    def until_thread(self, *statuses: str) -> None:
        """Wait until the fresh thread has one of these statuses."""
        self.until(self.at, lambda thread: thread["status"] in statuses)

    def until_run(self, run: str, *statuses: str) -> None:
        """Wait until a run of the fresh thread has one of these statuses."""
        self.until(f"{self.at}/runs/{run}", lambda one: one["status"] in statuses)

    @contextmanager
    def busy(self, seconds: float = 0.5, steps: int = 4, **fields: Any) -> Iterator[str]:
        """The fresh thread while a run is under way on it."""
        run = self.started("long", {"steps": steps, "seconds": seconds}, **fields)
        self.until_run(run, "running")
        yield run

    def sdk(self, name: str, call: Callable[[SyncLangGraphClient], Any]) -> Any:
        """Make a call through the Python SDK; what it returns or raises is compared."""
        with get_sync_client(url=self.url, api_key=None, timeout=CALL_TIMEOUT_S) as client:
            try:
                value = call(client)
                if isinstance(value, Iterator):
                    value = [{"event": part.event, "data": part.data} for part in value]
                kept = Exchange(f"client.{name}", 200, {}, value)
            except httpx.HTTPStatusError as error:
                kept = Exchange(f"client.{name}", error.response.status_code, {}, type(error).__name__)
        self.keep(kept)
        return kept.body

    def javascript(self, calls: Sequence[Sequence[Any]]) -> None:
        """Make calls through the JS SDK, one after another; what each returns or its error's status is compared."""
        command = ["node", str(CALLS), str(sdk_entry("newest")), self.url, json.dumps(calls)]
        made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=4 * CALL_TIMEOUT_S)
        for call, line in zip(calls, made.stdout.splitlines(), strict=False):
            answer = json.loads(line)
            self.keep(Exchange(f"client.{call[0]}", answer["status"], {}, answer["value"]))
        if made.returncode:
            raise RuntimeError(made.stderr)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        if "quiet" in self.__dict__:
            self.quiet.client.close()
