"""A function's entry in the tests' sandboxes: tells the tests' gateway what Lambda tells a real one.

The emulator sends a response only when the invocation has ended; Lambda sends it as soon as the handler returns. So
this entry posts it to the gateway itself, which waits for it under the invocation's id. It also counts the tasks that
an earlier invocation has left on the graph loop. With REFUSE_EXTENSIONS set, the service finds an Extensions API that
refuses it, while the runtime itself works as ever.
"""

import asyncio
import json
import os
import urllib.request
from typing import Any

GATEWAY = os.environ["TEST_GATEWAY"]
RUNTIME_API = os.environ["AWS_LAMBDA_RUNTIME_API"]

if os.environ.get("REFUSE_EXTENSIONS"):
    os.environ["AWS_LAMBDA_RUNTIME_API"] = GATEWAY
from handler import main  # noqa: E402

os.environ["AWS_LAMBDA_RUNTIME_API"] = RUNTIME_API

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def tasks() -> int:
    """How many tasks are on this loop, beside the one that counts."""
    return len(asyncio.all_tasks()) - 1


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle the event; the response goes out before the invocation ends."""
    left_behind = main.services.loop.submit(tasks()).result()
    answer = main.handler(event, context)
    told = {"answer": answer, "left_behind": left_behind, "held": main.services.waiter.busy}
    url = f"http://{GATEWAY}/answers/{event['requestContext']['requestId']}"
    DIRECT.open(urllib.request.Request(url, json.dumps(told).encode(), method="POST"), timeout=10).close()
    return answer
