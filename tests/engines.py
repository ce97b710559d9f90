"""The DynamoDB and SQS engines that tests run on: moto behind one lock, and ministack, whose conditions are atomic.

| engine             | conditions                     | for                                                     |
|--------------------|--------------------------------|---------------------------------------------------------|
| `moto_serialised`  | sound: one request at a time   | all but concurrency; requests can be seen and counted    |
| `ministack`        | atomic under concurrent load   | races; the second opinion on what an expression means    |
"""

import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from handler.embedded import embedded_engine
from tests.template import table_definition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

REGION = "us-east-1"

ONE_AT_A_TIME = threading.Lock()
"""Held by whoever is in moto."""

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

DUMMY_CREDENTIALS = {
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
    "aws_session_token": "testing",
}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}
"""What a process needs that makes its own clients; AWS_ENDPOINT_URL is the engine's."""


@dataclass(frozen=True)
class Engine:
    """A running engine; clients are made once and never retry, so that a test sees each refusal."""

    name: str
    endpoint_url: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which any AWS client talks to this engine."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.endpoint_url}

    def dynamodb(self) -> "DynamoDBClient":
        """The engine's DynamoDB client."""
        return self._dynamodb

    def sqs(self) -> "SQSClient":
        """The engine's SQS client."""
        return self._sqs

    def create_table(self, name: str) -> str:
        """Create a table as template.yaml declares it and return its name."""
        self._dynamodb.create_table(TableName=name, **table_definition())
        return name

    def new_dynamodb(self) -> "DynamoDBClient":
        """A client of its own, with a connection pool of its own."""
        return boto3.client("dynamodb", **self._client_options())

    def streams(self) -> Any:
        """A client of the tables' streams."""
        options: Any = self._client_options()
        return boto3.client("dynamodbstreams", **options)

    @cached_property
    def _dynamodb(self) -> "DynamoDBClient":
        return self.new_dynamodb()

    @cached_property
    def _sqs(self) -> "SQSClient":
        return boto3.client("sqs", **self._client_options())

    def _client_options(self) -> dict[str, Any]:
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=50, proxies={})
        return {
            "region_name": REGION,
            "endpoint_url": self.endpoint_url,
            "config": config,
            **DUMMY_CREDENTIALS,
        }


@contextmanager
def moto_serialised(wrap: Callable[[WsgiApp], WsgiApp] | None = None) -> Iterator[Engine]:
    """Serve moto on a free port of 127.0.0.1, one request at a time; `wrap` may put WSGI middleware inside the lock.

    moto checks a condition and writes without a lock of its own. The connections are threads, so that keep-alive
    works; the application is entered by one at a time. State is moto's own, shared by all servers of the process, and
    so is the lock.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class QuietHandler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        # HTTP header and body are two small writes: without this each response waits for a delayed ACK
        disable_nagle_algorithm = True

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    backend: WsgiApp = DomainDispatcherApplication(create_backend_app)
    app = one_at_a_time(wrap(backend) if wrap else backend)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield Engine("moto", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
        serving.join(5)


def one_at_a_time(app: WsgiApp) -> WsgiApp:
    """Put one lock around a WSGI application, held until the whole body is there."""

    def serialised(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with ONE_AT_A_TIME:
            return list(app(environ, start_response))

    return serialised


@contextmanager
def ministack() -> Iterator[Engine]:
    """Run the engine of the local server: ministack, on a free loopback port; with the tables' streams."""
    with embedded_engine(services="dynamodb,dynamodbstreams,sqs") as endpoint_url:
        yield Engine("ministack", endpoint_url)
