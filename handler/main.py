"""Lambda entry behind API Gateway."""

import gc

gc.set_threshold(50_000, 20, 50)  # first: at 700 a cold start spends an eighth of its time on what it has just imported

from typing import TYPE_CHECKING, Any, cast

from mangum import Mangum

from handler.api.custom import serve
from handler.api.gateway import rooted
from handler.bootstrap import build_services
from handler.telemetry import configure_logging, correlated, flush_exporters

if TYPE_CHECKING:
    from mangum.types import ASGI

services = build_services()
configure_logging(services.settings.service_name, services.settings.log_level)
services.hold.start()
app = serve(services)
adapter = Mangum(cast("ASGI", app), lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event of a REST or an HTTP API; a run that goes on keeps the sandbox awake."""
    origin = str((event.get("requestContext") or {}).get("requestId") or "")
    try:
        with correlated(correlation_id=origin, request_id=context.aws_request_id):
            return adapter(rooted(event), context)
    finally:
        if not services.hold.active:  # otherwise it flushes, when the response has gone out
            flush_exporters()
        services.hold.returned(context.aws_request_id)
