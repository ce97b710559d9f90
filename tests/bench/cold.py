"""What a cold start imports, from the built artefact with its .pyc files, as ratios to what it cannot do without.

    python -m tests.bench.cold .aws-sam/host/ApiFunction

| figure | is the time of                         | over that of                                    | at most |
|--------|----------------------------------------|--------------------------------------------------|---------|
| entry  | importing handler.main                 | fastapi, mangum, boto3 and a DynamoDB client     | 1.6     |
| wait   | all that a first wait has imported     | the same, and langgraph.graph                    | 1.1     |

Times are a fresh interpreter's own CPU time; ratios are medians over pairs of processes that follow each other, so that
a busy machine disturbs both alike. What a wait imports is not guessed: one is made, against a DynamoDB of the tests'
own, and the modules that it leaves behind are imported in their order.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.engines import Engine, ministack
from tests.events import Request, rest_event
from tests.rie import interpreter, link_runtime

ROUNDS = 15
MOST_OF_ENTRY = 1.6
MOST_OF_WAIT = 1.1

BARE = "import boto3, fastapi, mangum; boto3.client('dynamodb')"
BARE_WITH_LANGGRAPH = f"{BARE}; import langgraph.graph"
ENTRY = "import handler.main"
NEVER_BEFORE_A_GRAPH = ("langgraph", "langchain_core", "langsmith")

WAIT = """
import json, sys, types
from handler.main import handler
loaded_by_entry = sorted(sys.modules)
context = types.SimpleNamespace(aws_request_id="r", get_remaining_time_in_millis=lambda: 60_000)
answer = handler(json.loads(sys.argv[1]), context)
assert answer["statusCode"] == 200, answer
named = [name for name, module in sys.modules.items() if getattr(getattr(module, "__spec__", None), "name", "") == name]
print(json.dumps({"entry": loaded_by_entry, "wait": named}))
"""
TIMED = """
import time, json, sys
{setup}
started = time.process_time()
{code}
print(time.process_time() - started)
"""
IMPORT_ALL = """
import handler.main, importlib
for name in modules:
    importlib.import_module(name)
"""


@dataclass(frozen=True)
class Cold:
    """Interpreters that see what a function sees: the artefact, then what the managed runtime brings."""

    artefact: Path
    runtime: Path
    environment: Mapping[str, str]

    def run(self, code: str, *arguments: str) -> str:
        """The last line that a fresh interpreter prints."""
        command = [interpreter(), "-S", "-c", code, *arguments]
        path = f"{self.artefact}{os.pathsep}{self.runtime}"
        variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **self.environment}
        done = subprocess.run(
            command, cwd=self.artefact, env=variables, check=False, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.splitlines()[-1]

    def seconds(self, code: str, setup: str = "") -> float:
        """The CPU time of some code, after its setup."""
        return float(self.run(TIMED.format(setup=setup, code=code)))


@dataclass(frozen=True)
class Figures:
    """What was seen."""

    entry: float
    """Ratio of the entry's import to the bare ones."""
    wait: float
    """Ratio of a wait's imports to the bare ones."""
    too_early: list[str]
    """What the entry imports that only a graph needs."""
    milliseconds: Mapping[str, float]


def loaded_modules(cold: Cold) -> tuple[list[str], list[str]]:
    """The modules that the entry loads, and those that are there after a first wait; each can be imported by name."""
    said = {"messages": [{"role": "user", "content": "What is the weather in Oslo?"}]}
    body = {"assistant_id": "agent", "input": said, "if_not_exists": "create"}
    path = "/threads/3f8ddfb0-5ff6-4b0c-9a2c-b0a5a4a2f5a1/runs/wait"
    found = json.loads(cold.run(WAIT, json.dumps(rest_event(Request("POST", path, body=body)))))
    # A graph's file is imported by path and not by name, and it is the user's; others make submodules as they go.
    own = ("__main__", "langgraph_json_")
    importable = [name for name in found["wait"] if not name.startswith(own) and "six.moves" not in name]
    return found["entry"], importable


def measured(artefact: Path, engine: Engine, rounds: int = ROUNDS) -> Figures:
    """Measure an artefact that was built for this machine."""
    table = engine.create_table("cold")
    with tempfile.TemporaryDirectory() as folder:
        runtime = Path(folder) / "runtime"
        link_runtime(runtime)
        environment = {
            **engine.environment,
            "TABLE_NAME": table,
            "LANGGRAPH_CONFIG": "project/langgraph.json",
            "LOG_LEVEL": "ERROR",
        }
        cold = Cold(artefact, runtime, environment)
        entry, wait = loaded_modules(cold)
        cases = {
            "bare": (BARE, ""),
            "entry": (ENTRY, ""),
            "bare with langgraph": (BARE_WITH_LANGGRAPH, ""),
            "wait": (IMPORT_ALL, f"modules = json.loads({json.dumps(json.dumps(wait))})"),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, (code, setup) in cases.items():
                times[name].append(cold.seconds(code, setup))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return Figures(
        entry=median_ratio(times["entry"], times["bare"]),
        wait=median_ratio(times["wait"], times["bare with langgraph"]),
        too_early=[name for name in entry if name.split(".")[0] in NEVER_BEFORE_A_GRAPH],
        milliseconds={name: round(1000 * seconds) for name, seconds in medians.items()},
    )


def median_ratio(ours: list[float], bare: list[float]) -> float:
    """The median of the ratios of neighbours in time, whom the same disturbed."""
    return statistics.median(one / other for one, other in zip(ours, bare, strict=True))


def main() -> int:
    """Print the figures; 1 if one of them is above what it may be."""
    with ministack() as engine:
        figures = measured(Path(sys.argv[1]).resolve(), engine)
    print(f"CPU time in ms, medians of {ROUNDS} processes: {dict(figures.milliseconds)}")
    print(f"entry / bare fastapi + mangum + boto3 client: {figures.entry:.2f} (at most {MOST_OF_ENTRY})")
    print(f"wait / the same + langgraph.graph: {figures.wait:.2f} (at most {MOST_OF_WAIT})")
    print(f"loaded before a graph is needed: {', '.join(figures.too_early) or 'nothing of langgraph'}")
    return int(bool(figures.too_early) or figures.entry > MOST_OF_ENTRY or figures.wait > MOST_OF_WAIT)


if __name__ == "__main__":
    sys.exit(main())
