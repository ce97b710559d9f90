"""The local server: the application that Lambda serves, on uvicorn, with an embedded DynamoDB and queue."""

import argparse
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import uvicorn

from handler.api.custom import serve
from handler.bootstrap import build_services, create_queue, create_table, dynamodb_client, sqs_client
from handler.embedded import CREDENTIALS, embedded_engine
from handler.errors import GraphLoadError
from handler.local_sweeper import LocalSweeper
from handler.local_worker import LocalWorker
from handler.settings import Settings
from handler.storage.queue import SqsWakes

WELCOME = """\
langgraph-lambda on {url}  (API: {url}/docs)

curl -sS {url}/threads/$(python3 -c 'import uuid; print(uuid.uuid4())')/runs/wait \\
  -H 'content-type: application/json' \\
  -d '{{"assistant_id": "{graph}", "if_not_exists": "create", "input": {{"messages": [{{"role": "user", \
"content": "What is the weather in Oslo?"}}]}}}}'
"""


def main() -> int:
    """Serve until interrupted; 1 when a graph does not load."""
    parser = argparse.ArgumentParser(prog="python -m handler", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("langgraph.json"), help="the langgraph.json to serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--db", type=Path, help="directory in which the embedded engine keeps its data")
    arguments = parser.parse_args()
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "WARNING"))
    with ExitStack() as stack:
        if "AWS_ENDPOINT_URL" not in os.environ:
            os.environ.update(CREDENTIALS)
            os.environ["AWS_ENDPOINT_URL"] = stack.enter_context(embedded_engine(arguments.db))
        queue = sqs_client()
        queue_url = create_queue(queue, "langgraph-lambda")
        settings = Settings(langgraph_config=arguments.config, queue_url=queue_url)
        client = dynamodb_client()
        create_table(client, settings.table_name)
        wakes = SqsWakes(queue, queue_url)
        try:
            services = build_services(settings, dynamodb=client, wakes=wakes)
            services.graphs.load_all()
            services.store.check()
            app = serve(services)
        except GraphLoadError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        url = f"http://{arguments.host}:{arguments.port}"
        print(WELCOME.format(url=url, graph=services.graphs.ids[0]), flush=True)
        worker = LocalWorker(wakes, services.attendant, services.loop)
        worker.start()
        stack.callback(worker.stop)
        sweep_minutes = services.graphs.config.ttl.sweep_minutes
        sweeper = LocalSweeper(services.threads, services.expiry, services.loop, services.clock, sweep_minutes)
        sweeper.start()
        stack.callback(sweeper.stop)
        uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
