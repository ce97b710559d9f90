"""API Gateway and SQS of the tests' own, in front of sandboxes of the artefact.

| as in AWS                                        | here                                                              |
|--------------------------------------------------|-------------------------------------------------------------------|
| a REST API's proxy integration, below a stage    | HTTP on a free loopback port, below `/prod`                       |
| it gives up on a request after 29 s              | after `timeout_s`: 504                                            |
| a sandbox serves one request at a time           | so it does; the pool has no more than it was given: 429           |
| the response goes out when the handler returns   | `entries/early.py` posts it here, as the emulator keeps it back   |
| a sandbox freezes once its invocation has ended  | SIGSTOP when the emulator answers, SIGCONT at the next invocation |
| SQS invokes the worker                           | `pumped` takes messages off the queue                             |
"""

import json
import os
import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.events import Request, Response, read_response, rest_event
from tests.rie import Sandbox, SandboxDied, children
from tests.template import resources

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

STAGE = "prod"
INVOCATION_S = 120.0


@dataclass
class Invocation:
    """What became of one invocation."""

    member: int
    request_id: str
    method: str
    path: str
    started: float
    ended: float | None = None
    left_behind: int = 0
    """Tasks of earlier invocations that were on the graph loop when it began."""
    outlived: bool = False
    """Whether runs or waits went on when its handler returned."""


@dataclass(frozen=True)
class Seen:
    """A request as the gateway saw it."""

    method: str
    path: str
    user_agent: str
    status: int


@dataclass
class Member:
    """A sandbox of the pool."""

    sandbox: Sandbox
    busy: bool = False

    def signal(self, number: signal.Signals) -> None:
        """Stop or continue the runtime, with all its threads."""
        for child in children(self.sandbox.process.pid):
            with suppress(ProcessLookupError):
                os.killpg(os.getpgid(child), number)


class Gateway:
    """The gateway over a pool; `members` may be added until the first request comes."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.members: list[Member] = []
        self.requests: list[Seen] = []
        self.invocations: list[Invocation] = []
        self.at_end: Callable[[Invocation], None] = lambda _invocation: None
        """Called when an invocation has ended, before its sandbox freezes."""
        self.lose: Callable[[Request, Response], bool] = lambda _request, _response: False
        """Whether a response is lost on its way to the client: the connection closes instead."""
        self._told: dict[str, queue.Queue[Any]] = {}
        self._taking = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The URL of the stage."""
        return f"http://{self.address}/{STAGE}"

    def posts(self) -> list[Seen]:
        """The POSTs that began a run or were meant to."""
        return [seen for seen in self.requests if seen.method == "POST"]

    def reset(self) -> None:
        """Forget what was seen; return once all sandboxes are idle."""
        self.idle()
        self.requests.clear()
        self.invocations.clear()
        self.at_end = lambda _invocation: None
        self.lose = lambda _request, _response: False

    def idle(self, within_s: float = 60.0) -> None:
        """Return once no invocation goes on."""
        until_idle(self.members, within_s)

    def answer(self, request: Request) -> Response:
        """Answer a client's request, as a REST API would."""
        if not request.path.startswith(f"/{STAGE}/"):
            return own_answer(403, "Missing Authentication Token")
        member = self._take()
        if member is None:
            return own_answer(429, "Too Many Requests")
        request_id = str(uuid.uuid4())
        told = self._told[request_id] = queue.Queue()
        event = event_of(replace(request, path=request.path.removeprefix(f"/{STAGE}")), self.address, request_id)
        threading.Thread(target=self._invoke, args=(member, event, told), daemon=True).start()
        try:
            answer = told.get(timeout=self.timeout_s)
        except queue.Empty:
            return own_answer(504, "Endpoint request timed out")
        finally:
            del self._told[request_id]
        try:
            return unless_base64(answer)
        except TypeError:
            return own_answer(502, "Internal server error")

    def tell(self, request_id: str, body: bytes) -> None:
        """A handler has returned."""
        told = json.loads(body)
        for invocation in self.invocations:
            if invocation.request_id == request_id:
                invocation.left_behind, invocation.outlived = told["left_behind"], told["held"]
        waiting = self._told.get(request_id)
        if waiting is not None:
            waiting.put(told["answer"])

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def _take(self) -> Member | None:
        with self._taking:
            for member in self.members:
                if not member.busy and member.sandbox.process.poll() is None:
                    member.busy = True
                    return member
        return None

    def _invoke(self, member: Member, event: dict[str, Any], told: "queue.Queue[Any]") -> None:
        request_id = event["requestContext"]["requestId"]
        place = self.members.index(member)
        invocation = Invocation(place, request_id, event["httpMethod"], event["path"], time.monotonic())
        self.invocations.append(invocation)
        member.signal(signal.SIGCONT)
        try:
            told.put(member.sandbox.invoke(event, timeout=INVOCATION_S).payload)
        except SandboxDied:
            told.put(None)
        invocation.ended = time.monotonic()
        try:
            self.at_end(invocation)
        finally:
            member.signal(signal.SIGSTOP)
            member.busy = False


def until_idle(members: Sequence[Member], within_s: float = 60.0) -> None:
    """Return once no invocation goes on."""
    deadline = time.monotonic() + within_s
    while any(member.busy for member in members):
        if time.monotonic() > deadline:
            raise TimeoutError("an invocation does not end")
        time.sleep(0.02)


def event_of(request: Request, domain: str, request_id: str) -> dict[str, Any]:
    """The event of a request that has come to the stage at a domain, with its path below the stage."""
    event = rest_event(request, stage=STAGE)
    moment_ms = int(time.time() * 1000)
    event["requestContext"] |= {"domainName": domain, "requestId": request_id, "requestTimeEpoch": moment_ms}
    return event


def own_answer(status: int, message: str) -> Response:
    """An answer of the gateway itself."""
    return Response(status, {"content-type": "application/json"}, json.dumps({"message": message}).encode())


def binary_media_types() -> Sequence[str]:
    """What template.yaml declares as binary."""
    (api,) = resources("AWS::Serverless::Api").values()
    found: Sequence[str] = api["Properties"]["DefinitionBody"].get("x-amazon-apigateway-binary-media-types", [])
    return found


def unless_base64(payload: Any) -> Response:
    """The response of a proxy result; its base64 is decoded only where the API declares binary types."""
    if isinstance(payload, dict) and "*/*" not in binary_media_types():
        payload = {**payload, "isBase64Encoded": False}
    return read_response(payload)


def handler_of(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    """The HTTP face of a gateway, and the side door by which handlers tell that they have returned."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the overridden name
            """Say nothing."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            if path.startswith("/answers/"):
                gateway.tell(path.removeprefix("/answers/"), body)
                return self._send(Response(204, {}, b""))
            if path.startswith("/2020-01-01/extension/"):
                return self._send(own_answer(403, "extensions are refused here"))
            headers = {name.title(): value for name, value in self.headers.items()}
            headers |= {"X-Forwarded-Proto": "http", "Host": gateway.address}
            sent: Any = (body if "*/*" in binary_media_types() else body.decode()) if body else None
            request = Request(self.command, path, query, headers, sent)
            response = gateway.answer(request)
            agent = self.headers.get("User-Agent", "")
            gateway.requests.append(Seen(self.command, path.removeprefix(f"/{STAGE}"), agent, response.status))
            if gateway.lose(request, response):
                self.close_connection = True
                return None
            return self._send(response)

        def _send(self, response: Response) -> None:
            with suppress(OSError):  # the client has hung up
                self.send_response(response.status)
                for name, value in response.headers.items():
                    if name != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that http.server asks for

    return Handler


@contextmanager
def pumped(sqs: "SQSClient", queue_url: str, worker: Sandbox) -> Iterator[list[str]]:
    """Invoke a worker's sandbox with each message of a queue, as Lambda's poller does; yields the bodies handled."""
    handled: list[str] = []
    stopped = threading.Event()

    def pump() -> None:
        while not stopped.is_set():
            messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=1, WaitTimeSeconds=1)
            for message in messages.get("Messages", []):
                record = {"messageId": message["MessageId"], "body": message["Body"], "eventSource": "aws:sqs"}
                answer = worker.invoke({"Records": [record]}, timeout=INVOCATION_S).payload
                if answer == {"batchItemFailures": []}:
                    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                    handled.append(message["Body"])

    pumping = threading.Thread(target=pump, daemon=True)
    pumping.start()
    try:
        yield handled
    finally:
        stopped.set()
        pumping.join(INVOCATION_S)
