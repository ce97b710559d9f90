"""Sandboxes of the built artefact: AWS's Runtime Interface Emulator around the real runtime client.

A sandbox serves one request at a time, as on Lambda (the emulator panics at a second one). Its interpreter sees what a
Lambda function sees: the artefact first, then what the managed runtime brings, and none of the tests' packages.
"""

import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 20.0
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}

RUNTIME_PACKAGES = (
    "awslambdaric",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "runtime_client.*.so",
    "s3transfer",
    "simplejson",
    "six.py",
    "snapshot_restore_py*",
    "urllib3",
)
"""What the managed runtime has in /var/runtime: its client, and boto3 with all that it needs."""


class SandboxDied(Exception):
    """The sandbox ended; the message is the end of its log."""


@dataclass(frozen=True)
class Invocation:
    """One answered invocation."""

    payload: Any
    seconds: float


class Sandbox:
    """One emulated execution environment."""

    def __init__(self, log: Path, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.log = log
        self.process = process
        self.port = port
        self._serving = threading.Lock()

    def invoke(self, event: Mapping[str, Any], timeout: float = 30.0) -> Invocation:
        """Send an event and return what the handler returned; the first one pays for the init."""
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, data=json.dumps(event).encode(), method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        if not self._serving.acquire(blocking=False):
            raise RuntimeError("a sandbox serves one request at a time")
        try:
            started = time.perf_counter()
            with opener.open(request, timeout=timeout) as response:
                body = response.read()
            return Invocation(json.loads(body), time.perf_counter() - started)
        except (OSError, ValueError) as error:
            raise SandboxDied(f"{type(error).__name__}: {error}\n{self.tail()}") from error
        finally:
            self._serving.release()

    @property
    def init_seconds(self) -> float:
        """How long the runtime took until it asked for its first event, as the emulator saw it."""
        (milliseconds,) = re.findall(r"INIT REPORT\(durationMs: ([0-9.]+)\)", self.log.read_text(errors="replace"))
        return float(milliseconds) / 1000

    def tail(self, lines: int = 40) -> str:
        """The last lines of the sandbox's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """End the emulator and the runtime at once, as the loss of a sandbox would."""
        if self.process.poll() is not None:
            return
        # The emulator gives the runtime a process group of its own, which outlives the emulator's.
        for child in [*children(self.process.pid), self.process.pid]:
            with suppress(ProcessLookupError):
                os.killpg(os.getpgid(child), signal.SIGKILL)
        self.process.wait(10)


def children(pid: int) -> list[int]:
    """The processes that a process's threads have started and that still run."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in listing.read_text().split()]
    return found


@contextmanager
def sandbox(
    artefact: Path,
    environment: Mapping[str, str],
    handler: str = "handler.main.handler",
    timeout_seconds: int = 30,
    client: Sequence[str] = ("-m", "awslambdaric"),
) -> Iterator[Sandbox]:
    """Start a sandbox of the artefact; it is ready to be invoked, and cold; by `client` Python calls the handler."""
    port, runtime_port = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        runtime = Path(folder) / "runtime"
        link_runtime(runtime)
        # -S: without the site-packages of the interpreter, so that what the artefact lacks is missed.
        python = Path(folder) / "bin" / "python3"
        python.parent.mkdir()
        python.write_text(f'#!/bin/sh\nexec {interpreter()} -S "$@"\n')
        python.chmod(0o755)
        variables = {
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "HOME": folder,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "LAMBDA_TASK_ROOT": str(artefact),
            "LAMBDA_RUNTIME_DIR": str(runtime),
            "PYTHONPATH": f"{artefact}{os.pathsep}{runtime}",
            **environment,
        }
        command = [str(emulator()), "--runtime-api-address", f"127.0.0.1:{runtime_port}"]
        command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        command += [str(python), *client, handler]
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=artefact, env=variables, stdout=output, stderr=output, start_new_session=True
            )
        started = Sandbox(log, process, port)
        try:
            await_listener(started)
            yield started
        finally:
            started.kill()
            print(started.tail())  # which pytest shows where a test fails


def emulator() -> Path:
    """The emulator that the SAM CLI carries."""
    name = f"aws-lambda-rie-{ARCHITECTURES[platform.machine().lower()]}"
    found = sorted((ROOT / ".venv-sam").glob(f"lib/python*/site-packages/samcli/local/rapid/{name}"))
    if not found:
        raise FileNotFoundError(f"no {name} in .venv-sam: `make setup-sam` installs it")
    return found[0]


def interpreter() -> str:
    """The interpreter beneath the tests' virtual environment."""
    return cast("str", getattr(sys, "_base_executable", sys.executable))


def link_runtime(folder: Path) -> None:
    """Fill a folder with links to the packages that the managed runtime brings."""
    folder.mkdir()
    for site in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for pattern in RUNTIME_PACKAGES:
            for path in Path(site).glob(pattern):
                (folder / path.name).symlink_to(path)


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def await_listener(started: Sandbox) -> None:
    """Return once the emulator takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", started.port), timeout=1):
            return
        time.sleep(0.02)
    raise SandboxDied(f"the emulator takes no connections\n{started.tail()}")
