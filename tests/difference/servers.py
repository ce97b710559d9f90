"""The two servers that are compared: the reference, `langgraph dev`, and ours, over one project."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from handler.embedded import free_port

PROJECT = Path(__file__).parent / "project" / "langgraph.json"
START_TIMEOUT_S = 120
"""How long a server may take to start, in seconds."""

REFERENCE_ENVIRONMENT = {
    "LANGSMITH_TRACING": "false",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
}


@contextmanager
def reference(executable: Path, directory: Path) -> Iterator[str]:
    """The reference server; it keeps what it stores in the directory."""
    port = free_port()
    config = resolved_project(directory)
    command = [executable, "dev", "--config", config, "--host", "127.0.0.1", "--port", str(port)]
    options = ["--no-browser", "--no-reload", "--allow-blocking", "--n-jobs-per-worker", "12"]
    with process([*map(str, command), *options], port, directory, REFERENCE_ENVIRONMENT) as url:
        yield url


def resolved_project(directory: Path) -> Path:
    """The project with absolute paths: the reference takes relative ones to start where it was started."""
    project = json.loads(PROJECT.read_text())
    for name, place in project["graphs"].items():
        path, _, attribute = place.rpartition(":")
        project["graphs"][name] = f"{(PROJECT.parent / path).resolve()}:{attribute}"
    config = directory / "langgraph.json"
    config.write_text(json.dumps({**project, "dependencies": ["."]}))
    return config


@contextmanager
def ours(directory: Path) -> Iterator[str]:
    """Our local server."""
    port = free_port()
    command = [sys.executable, "-m", "handler", "--config", str(PROJECT), "--port", str(port)]
    root = str(Path(__file__).parents[2])
    with process(command, port, directory, {"PYTHONPATH": root}) as url:
        yield url


@contextmanager
def process(command: Sequence[str], port: int, directory: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A server in a process group of its own, from its first answer until it is told to stop."""
    url = f"http://127.0.0.1:{port}"
    log = directory / f"{port}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            until_answering(server, url, log)
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def until_answering(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Return once a server answers; its log is shown if it does not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/ok", trust_env=False, timeout=5).status_code == 200:
                return
        time.sleep(0.25)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")
