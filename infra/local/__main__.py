"""The stack on this machine: `sam local` runs the functions, as Lambda does, over the local server's engine.

    python -m infra.local --architecture x86_64 serve                              # `make local` builds before
    python -m infra.local --architecture x86_64 invoke WorkerFunction EVENT.json   # meanwhile: `make local-invoke`

| on AWS                 | here                                                            |
|------------------------|-----------------------------------------------------------------|
| API Gateway            | `sam local start-api`: a container for each request             |
| SQS invokes the worker | `sam local invoke WorkerFunction`: a container for each message |
| DynamoDB, SQS          | the embedded engine, to which env.json sends the containers     |
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from handler.bootstrap import create_queue, create_table, dynamodb_client, sqs_client
from handler.embedded import CREDENTIALS, embedded_engine

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

ENGINE_HOST = "172.17.0.1" if sys.platform == "linux" else "127.0.0.1"
"""Where containers find this machine: at Docker's bridge; Docker Desktop hands on to the loopback."""


@dataclass(frozen=True)
class SamLocal:
    """The SAM CLI's `local` commands on what was built for this machine."""

    sam: Path
    architecture: str
    template: Path
    env_vars: Path

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """What the functions are told in place of the template's own."""
        variables: dict[str, str] = json.loads(self.env_vars.read_text())["Parameters"]
        return variables

    def command(self, *arguments: str) -> list[str]:
        """A command line, with what all of them need."""
        host = urlsplit(self.variables["AWS_ENDPOINT_URL"]).hostname
        return [
            *(str(self.sam), "local", *arguments),
            *("--template", str(self.template), "--parameter-overrides", f"Architecture={self.architecture}"),
            # Docker Desktop knows the name by itself, Docker on Linux has to be told.
            *("--env-vars", str(self.env_vars), "--add-host", f"{host}:host-gateway"),
        ]

    def run(self, *arguments: str) -> int:
        """Run a command to its end; its exit status."""
        command = self.command(*arguments)
        print(shlex.join(command), flush=True)
        process = subprocess.Popen(command, env=environment())
        # A terminal interrupts the whole group: the command ends by itself, once it has removed its containers.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        return process.wait()

    def work(self, event: str) -> Any:
        """What the worker answers to an event; None if it did not."""
        command = self.command("invoke", "WorkerFunction", "--event", "-")
        ended = subprocess.run(command, env=environment(), input=event, stdout=subprocess.PIPE, text=True, check=False)
        lines = ended.stdout.splitlines()
        return json.loads(lines[-1]) if ended.returncode == 0 and lines else None


def environment() -> dict[str, str]:
    """The environment of `sam local`, which hands its credentials to the functions: the engine's, and not yours."""
    yours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**yours, **CREDENTIALS}


def attend(queue: "SQSClient", url: str, work: Callable[[str], Any], wait_s: int = 5) -> None:
    """Take one message off the queue, if there is one; as on Lambda it comes again if the worker fails."""
    for message in queue.receive_message(QueueUrl=url, WaitTimeSeconds=wait_s).get("Messages", []):
        record = {"messageId": message["MessageId"], "eventSource": "aws:sqs", "body": message["Body"]}
        if work(json.dumps({"Records": [record]})) == {"batchItemFailures": []}:
            queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def keep_attending(queue: "SQSClient", url: str, work: Callable[[str], Any]) -> None:
    """Take messages off the queue for as long as the process lives."""
    while True:
        attend(queue, url, work)


def serve(local: SamLocal, engine_host: str, port: int, workers: int, db: Path | None) -> int:
    """The engine, the API and its workers, until interrupted."""
    os.environ.update(CREDENTIALS)
    with embedded_engine(db, engine_host, urlsplit(local.variables["AWS_ENDPOINT_URL"]).port) as engine:
        os.environ["AWS_ENDPOINT_URL"] = engine
        create_table(dynamodb_client(), local.variables["TABLE_NAME"])
        queue = sqs_client()
        url = create_queue(queue, local.variables["QUEUE_URL"].rpartition("/")[2])
        for _ in range(workers):
            threading.Thread(target=keep_attending, args=(queue, url, local.work), daemon=True).start()
        return local.run("start-api", "--host", "127.0.0.1", "--port", str(port))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sam", type=Path, default=Path(".venv-sam/bin/sam"))
    parser.add_argument("--architecture", choices=["arm64", "x86_64"], required=True, help="what was built for")
    parser.add_argument("--template", type=Path, default=Path(".aws-sam/local/template.yaml"), help="what was built")
    parser.add_argument("--env-vars", type=Path, default=Path(__file__).parent / "env.json")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve until interrupted")
    serving.add_argument("--port", type=int, default=8123)
    serving.add_argument("--engine-host", default=ENGINE_HOST, help="address of this machine that containers reach")
    serving.add_argument("--db", type=Path, help="directory that keeps the data")
    serving.add_argument("--workers", type=int, default=2, help="messages attended to at a time; 0: they wait")
    invoking = commands.add_parser("invoke", help="invoke a function once")
    invoking.add_argument("function")
    invoking.add_argument("event", help="a file with the event")
    given = parser.parse_args()
    local = SamLocal(given.sam, given.architecture, given.template, given.env_vars)
    if not local.template.exists():
        parser.error(f"there is no {local.template}: `make local` builds it")
    if given.command == "invoke":
        return local.run("invoke", given.function, "--event", given.event)
    try:
        return serve(local, given.engine_host, given.port, given.workers, given.db)
    except RuntimeError as error:
        parser.error(f"{error}: is {given.engine_host} an address of this machine (Docker's bridge; --engine-host)?")


if __name__ == "__main__":
    sys.exit(main())
