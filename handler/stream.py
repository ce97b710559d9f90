"""Lambda entry behind the Lambda Web Adapter: the application on uvicorn (run.sh), so that answers can be streamed."""

import gc

gc.set_threshold(50_000, 20, 50)  # first: at 700 a cold start spends an eighth of its time on what it has just imported

from handler.api.custom import serve
from handler.api.web_adapter import FromWebAdapter
from handler.bootstrap import build_services
from handler.telemetry import configure_logging, flush_exporters

services = build_services()
configure_logging(services.settings.service_name, services.settings.log_level)
services.hold.start()
app = FromWebAdapter(serve(services), services.hold, flush_exporters)
