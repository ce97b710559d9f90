"""DynamoDB and SQS for `sam local`: the local server's engine with the table, where containers reach it.

    python -m infra.local.engine --host 172.17.0.1

It runs until it is interrupted; env.json sends the functions to it.
"""

import argparse
import json
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from handler.bootstrap import create_table, dynamodb_client
from handler.embedded import CREDENTIALS, embedded_engine

VARIABLES: dict[str, str] = json.loads((Path(__file__).parent / "env.json").read_text())["Parameters"]


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="172.17.0.1", help="address of this machine that containers reach")
    parser.add_argument("--db", type=Path, help="directory that keeps the data")
    arguments = parser.parse_args()
    port = urlsplit(VARIABLES["AWS_ENDPOINT_URL"]).port
    with embedded_engine(arguments.db, arguments.host, port) as url:
        os.environ.update({**CREDENTIALS, "AWS_ENDPOINT_URL": url})
        create_table(dynamodb_client(), VARIABLES["TABLE_NAME"])
        print(f"DynamoDB and SQS on {url}, table {VARIABLES['TABLE_NAME']}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
