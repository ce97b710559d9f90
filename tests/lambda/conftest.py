"""The artefact, built once for all tests by the command that builds it for Lambda, and a gateway in front of it."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from handler.bootstrap import create_queue, create_table
from tests.engines import Engine
from tests.gateway import Gateway, Member
from tests.javascript import packages
from tests.rie import link_runtime, sandbox

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = ROOT / "tests" / "entries"
FUNCTION_S = 100


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API function's artefact as `make build` leaves it, in a folder of this process of the tests."""
    folder = tmp_path_factory.mktemp("built")
    command = ["make", "--no-print-directory", "build", "TARGET=host", f"BUILD_PYTHON={sys.executable}"]
    command.append(f"BUILD_DIR={folder}")
    built = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
    )
    assert built.returncode == 0, built.stdout
    return folder / "ApiFunction"


@dataclass(frozen=True)
class Stack:
    """What a deployment has: the gateway before the API function, the table and the queue."""

    gateway: Gateway
    table: str
    queue_url: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Stacks:
    """Makes stacks of the artefact over an engine."""

    artefact: Path
    engine: Engine
    runtime: Path
    """What the managed runtime brings, which `entries/` come after."""

    @contextmanager
    def stack(self, *, members: int, timeout_s: float, warm: bool = True, **settings: str) -> Iterator[Stack]:
        """A gateway over so many sandboxes that gives up after so many seconds; `settings` are the functions'."""
        table, queue = (f"{kind}-{uuid.uuid4().hex[:12]}" for kind in "tq")
        create_table(self.engine.dynamodb(), table)
        queue_url = create_queue(self.engine.sqs(), queue)
        environment = {
            **self.engine.environment,
            "TABLE_NAME": table,
            "QUEUE_URL": queue_url,
            "LANGGRAPH_CONFIG": "project/langgraph.json",
            "GATEWAY_TIMEOUT_SECONDS": str(timeout_s),
            **settings,
        }
        gateway = Gateway(timeout_s)
        path = os.pathsep.join(str(part) for part in (self.artefact, self.runtime, ENTRIES))
        entry = {**environment, "TEST_GATEWAY": gateway.address, "PYTHONPATH": path}
        with ExitStack() as stack:
            for _ in range(members):
                started = stack.enter_context(sandbox(self.artefact, entry, "early.handler", FUNCTION_S))
                gateway.members.append(Member(started))
            gateway.start()
            stack.callback(gateway.stop)
            if warm:
                warm_up(gateway)
            yield Stack(gateway, table, queue_url, environment)


def warm_up(gateway: Gateway) -> None:
    """Have each sandbox drive a run, so that none is cold."""
    timeout_s, gateway.timeout_s = gateway.timeout_s, 60
    members = gateway.members
    for member in members:
        gateway.members = [member]
        body = {"assistant_id": "long", "input": {"seconds": 0.0}, "on_completion": "keep"}
        answered = httpx.post(f"{gateway.url}/runs/wait", json=body, timeout=60, trust_env=False)
        assert answered.status_code in (200, 303), answered.text
        gateway.idle()
    gateway.members, gateway.timeout_s = members, timeout_s
    gateway.reset()


@pytest.fixture(scope="session")
def stacks(artefact: Path, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    """Makes gateways before sandboxes of the artefact."""
    runtime = tmp_path_factory.mktemp("managed") / "runtime"
    link_runtime(runtime)
    return Stacks(artefact, engine, runtime)


@pytest.fixture(scope="session")
def js_sdks() -> Path:
    """The folder of the JS SDKs' versions."""
    return packages() / "node_modules"
