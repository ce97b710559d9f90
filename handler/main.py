"""Lambda entry behind API Gateway."""

from typing import Any

from mangum import Mangum

from handler.api.app import create_app
from handler.api.gateway import rooted
from handler.bootstrap import build_services

services = build_services()
services.hold.start()
app = create_app(services)
adapter = Mangum(app, lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event of a REST or an HTTP API; a run that goes on keeps the sandbox awake."""
    try:
        return adapter(rooted(event), context)
    finally:
        services.hold.returned(context.aws_request_id)
