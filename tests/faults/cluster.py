"""Several real processes over one engine, and what kills, freezes and thaws them."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from handler.embedded import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0


@dataclass
class Node:
    """One process, and the next one in its place."""

    environment: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start a process on the node's port."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.node", str(self.port)],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdin=subprocess.PIPE,  # it leaves with its parent
                stdout=log,
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process without a word."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(30)
            if self.process.stdin:
                self.process.stdin.close()

    def healthy(self) -> bool:
        """Whether it answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/ok", timeout=1):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def await_health(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + START_SECONDS
        while not self.healthy():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer from {self.url}: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)


@dataclass(frozen=True)
class Blow:
    """One kill or freeze, and who drove what at that moment."""

    kind: str
    at: float
    """Seconds since 1970."""
    attempts: Mapping[str, int]
    """By id of each run that held a thread just then, how many drivers had started on it."""


class Chaos:
    """Kills and freezes nodes, one at a time, by a seed; at least one of them is always well."""

    def __init__(self, nodes: list[Node], seed: int, look: Callable[[], Mapping[str, int]]) -> None:
        self.nodes = nodes
        self.random = random.Random(seed)
        self.look = look
        self.blows: list[Blow] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._rage, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and leave every node well."""
        self._stop.set()
        self._thread.join(120)
        for node in self.nodes:
            node.await_health()

    def _rage(self) -> None:
        while not self._stop.wait(self.random.uniform(0.5, 1.5)):
            well = [node for node in self.nodes if node.healthy()]
            if len(well) < 2:
                continue
            node, at = self.random.choice(well), time.time()
            if self.random.random() < 0.6:
                node.kill()
                self.blows.append(Blow("kill", at, self.look()))
                node.start()
            else:
                node.signal(signal.SIGSTOP)
                self.blows.append(Blow("freeze", at, self.look()))
                time.sleep(self.random.uniform(1, 7))  # shorter and longer than a lease
                node.signal(signal.SIGCONT)
