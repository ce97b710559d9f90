"""The embedded DynamoDB and SQS of the local server and the tests: ministack, as a subprocess on a loopback port."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 10.0

CREDENTIALS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""What an AWS client needs to talk to an engine that checks nothing."""

PROGRAM = """
import os, signal, sys, threading

def leave_with_parent():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=leave_with_parent, daemon=True).start()
from ministack.app import main
main()
"""
"""ministack until its standard input closes, which it does however the parent ends."""


@contextmanager
def embedded_engine(
    db: Path | None = None, host: str = "127.0.0.1", port: int | None = None, services: str = "dynamodb,sqs"
) -> Iterator[str]:
    """Run the engine and yield its endpoint URL; `db` is a directory that keeps its data, written when it stops."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="langgraph-lambda-") as scratch:
        environment = {
            **os.environ,
            "GATEWAY_PORT": str(port),
            "BIND_HOST": host,
            "MINISTACK_HOST": host,
            "SERVICES": services,
            "LOG_LEVEL": "ERROR",
            "PERSIST_STATE": "1" if db else "0",
            "STATE_DIR": str(db.resolve()) if db else scratch,
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "DOCKER_HOST": f"unix://{scratch}/no-docker.sock",
            "TMPDIR": scratch,
        }
        if db:
            db.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", PROGRAM],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_health(process, f"http://{host}:{port}/_ministack/health")
            yield f"http://{host}:{port}"
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the engine, in good order if it can."""
    if process.stdin:
        process.stdin.close()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def await_health(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Return once `url` answers; raise when the process has ended or time is up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        try:
            with opener.open(url, timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the embedded engine did not answer within {START_SECONDS} s") from None
            time.sleep(0.02)
    raise RuntimeError(f"the embedded engine ended with status {process.returncode}")


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
