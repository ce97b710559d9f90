"""Lambda entry behind the Lambda Web Adapter: the application on uvicorn (run.sh), so that answers can be streamed."""

from handler.api.app import create_app
from handler.api.web_adapter import FromWebAdapter
from handler.bootstrap import build_services
from handler.telemetry import configure_logging

services = build_services()
configure_logging(services.settings.service_name, services.settings.log_level)
app = FromWebAdapter(create_app(services))
