"""Connections that break off in the middle of a thread's stream: the clients come back, and miss or repeat nothing."""

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from langgraph_sdk import get_client

from tests.e2e.thread_streams.conftest import TENANT
from tests.e2e.thread_streams.session import opened
from tests.e2e.thread_streams.test_javascript import SCRIPT
from tests.javascript import sdk_entry

CUT_AT = 900
"""How many bytes of a stream's answer pass before its connection breaks off: the headers, and some events."""


class Cutting:
    """A proxy that breaks off the first connections that carry a stream."""

    def __init__(self, url: str, cuts: int) -> None:
        self.target = urlsplit(url)
        self.left = cuts
        self.cut = 0
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection((self.target.hostname or "", self.target.port or 80))
                streams = threading.Event()
                threading.Thread(target=self._up, args=(client, server, streams), daemon=True).start()
                threading.Thread(target=self._down, args=(client, server, streams), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, streams: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if b"/stream/events" in data:
                    streams.set()
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _down(self, client: socket.socket, server: socket.socket, streams: threading.Event) -> None:
        passed = 0
        with suppress(OSError):
            while data := server.recv(100):
                client.sendall(data)
                passed += len(data) if streams.is_set() else 0
                if passed > CUT_AT and self._may_cut():
                    break
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _may_cut(self) -> bool:
        with self._lock:
            if not self.left:
                return False
            self.left -= 1
            self.cut += 1
            return True


@pytest.fixture
def cutting(url: str) -> Iterator[Cutting]:
    """A proxy before the server that breaks off three streams."""
    proxy = Cutting(url, 3)
    yield proxy
    proxy.close()


async def test_the_python_sdk_misses_and_repeats_nothing(cutting: Cutting) -> None:
    async with (
        get_client(url=cutting.url, api_key=None, headers=TENANT) as client,
        opened(client, "long") as thread,
    ):
        await thread.start(input={"steps": 12, "seconds": 0.05})
        told = await thread.all(thread.stream.subscribe(["values"]))
        assert (await thread.output())["done"] == 12
    assert cutting.cut == 3
    assert [one["params"]["data"].get("done") for one in told] == [None, *range(1, 13)]


def test_the_js_sdk_misses_and_repeats_nothing(cutting: Cutting) -> None:
    sdk = sdk_entry("newest")
    command = ["node", str(SCRIPT), str(sdk), cutting.url, json.dumps(TENANT), "values", "{}"]
    finished = subprocess.run(command, check=False, capture_output=True, timeout=30, text=True)
    assert finished.returncode == 0, finished.stderr
    assert cutting.cut >= 1
    assert json.loads(finished.stdout) == [None, 1, 2, 3, 4]
