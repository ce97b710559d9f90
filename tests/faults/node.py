"""One process of a deployment, to be killed and frozen: the API and a worker over an engine that outlives it.

`python -m tests.faults.node PORT` is configured by the environment, as a Lambda function is.
"""

import os
import sys
import threading

import uvicorn

from handler.api.app import create_app
from handler.bootstrap import build_services, dynamodb_client, sqs_client
from handler.domain.lease import LeaseTerms
from handler.local_worker import LocalWorker
from handler.runs.driver import Limits
from handler.settings import Settings
from handler.storage.queue import SqsWakes

TERMS = LeaseTerms(lasts_ms=3_000, skew_ms=300, heartbeat_s=1.0)
"""Leases that end while a test waits."""


def leave_with_parent() -> None:
    """End when standard input closes, which it does however the parent ends."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Serve until killed."""
    threading.Thread(target=leave_with_parent, daemon=True).start()
    settings = Settings()
    wakes = SqsWakes(sqs_client(), settings.queue_url)
    limits = Limits(terms=TERMS, max_attempts=int(os.environ["MAX_ATTEMPTS"]))
    services = build_services(settings, dynamodb=dynamodb_client(), wakes=wakes, limits=limits)
    services.graphs.load_all()
    LocalWorker(wakes, services.attendant, services.loop).start()
    uvicorn.run(create_app(services), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
