"""Lambda entry behind SQS: looks at the run that each message names."""

import logging
from typing import Any

from handler.bootstrap import build_services
from handler.storage.queue import Wake

log = logging.getLogger(__name__)

services = build_services()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Attend to the messages of a batch; those that failed are reported, and come again."""
    failures = []
    for record in event["Records"]:
        limit_s = context.get_remaining_time_in_millis() / 1000
        try:
            wake = Wake.from_text(record["body"])
            attending = services.attendant.attend(wake.tenant, wake.thread_id, wake.run_id, limit_s)
            services.loop.submit(attending).result()
        except Exception as error:
            log.exception("message failed", extra={"error": type(error).__name__})
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
