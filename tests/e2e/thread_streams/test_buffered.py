"""Thread streams behind a gateway that buffers: the JS SDK has whole answers, the Python SDK is refused by name."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client

from handler.local_worker import LocalWorker
from handler.storage.queue import SqsWakes
from tests.e2e.thread_streams.test_javascript import SCRIPT
from tests.events import Request
from tests.in_lambda import InLambda
from tests.integration.test_streams import Deployment, deployment
from tests.javascript import sdk_entry

__all__ = ["deployment"]


def handler_of(process: InLambda) -> type[BaseHTTPRequestHandler]:
    """The HTTP face of a process that is called as on Lambda: an answer goes out once it is complete."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the overridden name
            """Say nothing."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode() or None
            path, _, query = self.path.partition("?")
            headers = {name.title(): value for name, value in self.headers.items()}
            answer = process.call(Request(self.command, path, query, headers, body))
            with suppress(OSError):  # the client has hung up
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        do_GET = do_POST = _serve  # noqa: N815 - names that http.server asks for

    return Handler


@pytest.fixture
def buffered(deployment: Deployment) -> Iterator[str]:
    """A gateway before a process that a worker stands beside; windows are short."""
    process = deployment.process()
    services = process.services
    wakes = SqsWakes(deployment.engine.sqs(), deployment.settings.queue_url)
    worker = LocalWorker(wakes, services.attendant, services.loop)
    worker.start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(process))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    worker.stop()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("values", [None, 1, 2, 3, 4]), ("later", [None, 1, 2, 3, 4, 5])],
)
def test_the_js_sdk_has_all_of_a_run_in_whole_answers(buffered: str, name: str, expected: list[int | None]) -> None:
    sdk = sdk_entry("newest")
    command = ["node", str(SCRIPT), str(sdk), buffered, "{}", name, "{}"]
    finished = subprocess.run(command, check=False, capture_output=True, timeout=40, text=True)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == expected


async def test_the_python_sdk_is_refused_by_name(buffered: str) -> None:
    async with get_client(url=buffered, api_key=None) as client:
        thread_id = (await client.threads.create())["thread_id"]
        with pytest.raises(httpx.HTTPStatusError, check=lambda error: error.response.status_code == 501):
            async for _ in await client.threads.join_stream(thread_id):
                pass
        async with client.threads.stream(thread_id, assistant_id="long") as thread:
            with pytest.raises(Exception, match="501"):
                async for _ in thread.values:
                    pass
