"""API Gateway with response streaming, of the tests' own, in front of one sandbox of the stream function.

What the function's application sends goes to the client as it comes, byte by byte (`entries/web_adapter.py` brings it);
a body that breaks off breaks off here. The sandbox freezes when its invocation has ended.
"""

import signal
import socket
import threading
import time
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.events import Request
from tests.gateway import INVOCATION_S, STAGE, Invocation, Member, event_of, until_idle
from tests.rie import Sandbox, SandboxDied


class StreamingGateway:
    """The gateway; `member` is set before the first request comes."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        """Method and path of each, in order."""
        self.invocations: list[Invocation] = []
        self.member: Member | None = None
        self._clients: dict[str, tuple[socket.socket, threading.Event]] = {}
        self._bringing = socket.create_server(("127.0.0.1", 0))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self._server.daemon_threads = True
        for serve in (self._server.serve_forever, self._bring):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def address(self) -> str:
        """Where answers are brought to: host and port."""
        return f"127.0.0.1:{self._bringing.getsockname()[1]}"

    @property
    def domain(self) -> str:
        """Where clients come: host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The URL of the stage."""
        return f"http://{self.domain}/{STAGE}"

    def serve(self, sandbox: Sandbox) -> None:
        """Put the sandbox behind the gateway."""
        self.member = Member(sandbox)

    def idle(self) -> None:
        """Return once no invocation goes on."""
        until_idle([self.member] if self.member else [])

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._bringing.close()

    def answer(self, request: Request, client: socket.socket) -> None:
        """Have the sandbox answer a client's request; return when all was sent, or when it was cut off."""
        assert self.member is not None
        self.idle()
        self.member.busy = True
        request_id = str(uuid.uuid4())
        over = threading.Event()
        self._clients[request_id] = client, over
        event = event_of(request, self.domain, request_id)
        threading.Thread(target=self._invoke, args=(self.member, event, over), daemon=True).start()
        over.wait(INVOCATION_S)

    def _invoke(self, member: Member, event: dict[str, Any], over: threading.Event) -> None:
        request_id = event["requestContext"]["requestId"]
        invocation = Invocation(0, request_id, event["httpMethod"], event["path"], time.monotonic())
        self.invocations.append(invocation)
        member.signal(signal.SIGCONT)
        try:
            member.sandbox.invoke(event, timeout=INVOCATION_S)
        except SandboxDied:
            over.set()
        invocation.ended = time.monotonic()
        member.signal(signal.SIGSTOP)
        member.busy = False

    def _bring(self) -> None:
        """Take the answers of the sandbox to their clients."""
        while True:
            try:
                brought, _ = self._bringing.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(brought,), daemon=True).start()

    def _relay(self, brought: socket.socket) -> None:
        with brought, brought.makefile("rb") as answer:
            client, over = self._clients.pop(answer.readline().decode().strip())
            with suppress(OSError):  # the client has hung up
                while data := answer.read1(65536):
                    client.sendall(data)
        over.set()


def handler_of(gateway: StreamingGateway) -> type[BaseHTTPRequestHandler]:
    """The HTTP face of a gateway."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the overridden name
            """Say nothing."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            whole, _, query = self.path.partition("?")
            path = whole.removeprefix(f"/{STAGE}")
            headers = {name.title(): value for name, value in self.headers.items()}
            headers |= {"X-Forwarded-Proto": "http"}
            gateway.requests.append((self.command, path))
            gateway.answer(Request(self.command, path, query, headers, body or None), self.connection)
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that http.server asks for

    return Handler
