"""Stands for the Lambda Web Adapter in the tests' sandboxes: starts the application, and turns events into requests.

As the adapter does, it is an extension of its own, begins once the application answers its readiness check, and puts
the contexts of event and invocation into headers. What the application answers goes byte by byte to the tests' gateway,
as the emulator keeps an answer back until the invocation has ended. Only the standard library is at hand here.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

RUNTIME_API = os.environ["AWS_LAMBDA_RUNTIME_API"]
INVOCATION = "/2018-06-01/runtime/invocation"
EXTENSION = "/2020-01-01/extension"
PORT = int(os.environ["AWS_LWA_PORT"])
GATEWAY_HOST, _, GATEWAY_PORT = os.environ["TEST_GATEWAY"].rpartition(":")


def asked(connection: HTTPConnection, method: str, path: str, body: str = "", **headers: str) -> HTTPResponse:
    """The answer to a request; its body is not read yet."""
    connection.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def extend() -> None:
    """Be the extension that the adapter is: of no events."""
    connection = HTTPConnection(RUNTIME_API)
    answer = asked(
        connection, "POST", f"{EXTENSION}/register", '{"events": []}', Lambda_Extension_Name="lambda-adapter"
    )
    answer.read()
    identifier = answer.headers["Lambda-Extension-Identifier"]
    asked(connection, "GET", f"{EXTENSION}/event/next", Lambda_Extension_Identifier=identifier).read()


def await_application() -> None:
    """Return once the readiness check is answered."""
    while True:
        try:
            answer = asked(HTTPConnection("127.0.0.1", PORT), "GET", os.environ["AWS_LWA_READINESS_CHECK_PATH"])
        except OSError:
            time.sleep(0.01)
            continue
        if answer.status < 500:
            return


def request_of(event: dict[str, Any], request_id: str, deadline_ms: int) -> bytes:
    """The request that the adapter makes of a REST API's event."""
    query = urlencode(event["multiValueQueryStringParameters"] or {}, doseq=True)
    body = (event["body"] or "").encode()
    contexts = {
        "x-amzn-request-context": json.dumps(event["requestContext"]),
        "x-amzn-lambda-context": json.dumps({"request_id": request_id, "deadline": deadline_ms}),
        "connection": "close",
        "content-length": str(len(body)),
    }
    headers = {name.lower(): value for name, value in event["headers"].items()} | contexts
    target = event["path"] + (f"?{query}" if query else "")
    lines = [f"{event['httpMethod']} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def serve_one(runtime: HTTPConnection) -> None:
    """Take an event, and answer it."""
    answer = asked(runtime, "GET", f"{INVOCATION}/next")
    event = json.loads(answer.read())
    request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    request = request_of(event, request_id, int(answer.headers["Lambda-Runtime-Deadline-Ms"]))
    with (
        socket.create_connection(("127.0.0.1", PORT)) as application,
        socket.create_connection((GATEWAY_HOST, int(GATEWAY_PORT))) as gateway,
    ):
        application.sendall(request)
        gateway.sendall(event["requestContext"]["requestId"].encode() + b"\n")
        while data := application.recv(65536):
            with suppress(OSError):  # the client has hung up, of which nobody tells the application
                gateway.sendall(data)
    asked(runtime, "POST", f"{INVOCATION}/{request_id}/response", "{}").read()


def main() -> None:
    """Serve the runtime's events by the application that the script starts."""
    threading.Thread(target=extend, daemon=True).start()
    environment = dict(os.environ)
    if environment.get("REFUSE_EXTENSIONS"):
        environment["AWS_LAMBDA_RUNTIME_API"] = "127.0.0.1:1"
    subprocess.Popen([f"{os.environ['LAMBDA_TASK_ROOT']}/{sys.argv[1]}"], env=environment)
    await_application()
    runtime = HTTPConnection(RUNTIME_API)
    while True:
        serve_one(runtime)


if __name__ == "__main__":
    main()
