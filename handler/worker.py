"""Lambda entry behind SQS and the table's stream: looks at what each message names, and at each thread due."""

import gc

gc.set_threshold(50_000, 20, 50)  # first: at 700 a cold start spends an eighth of its time on what it has just imported

import logging
from typing import Any

from handler.bootstrap import build_services
from handler.domain.messages import Wake, message_from_text
from handler.storage.keys import expiring_thread
from handler.telemetry import configure_logging, correlated, flush_exporters

log = logging.getLogger(__name__)

services = build_services()
configure_logging(services.settings.service_name, services.settings.log_level)


def attend_expiry(record: dict[str, Any]) -> list[dict[str, str]]:
    """Attend to what DynamoDB deleted because it was due; the failure, if it failed."""
    change = record["dynamodb"]
    expiry = change["Keys"]["SK"]["S"]
    try:
        tenant, thread_id = expiring_thread(expiry)
        services.loop.submit(services.expiry.attend(tenant, thread_id)).result()
    except Exception as error:
        log.exception("expiry failed", extra={"error": type(error).__name__, "expiry": expiry})
        return [{"itemIdentifier": change["SequenceNumber"]}]
    return []


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Attend to the messages of a batch; those that failed are reported, and come again."""
    failures = []
    for record in event["Records"]:
        limit_s = context.get_remaining_time_in_millis() / 1000
        if "dynamodb" in record:
            failures += attend_expiry(record)
            continue
        try:
            message = message_from_text(record["body"])
            origin = message.correlation_id if isinstance(message, Wake) else ""
            with correlated(correlation_id=origin, request_id=context.aws_request_id):
                services.loop.submit(services.attendant.take(message, limit_s)).result()
        except Exception as error:
            fields = {"error": type(error).__name__, "message_id": record["messageId"]}
            log.exception("message failed", extra=fields)
            failures.append({"itemIdentifier": record["messageId"]})
    flush_exporters()
    return {"batchItemFailures": failures}
