"""What operators see: JSON log lines that carry metrics and say what belongs together; exporters flushed in time.

A log line is an event: its message names it, `extra` has its fields. `METRICS` says which events count as metrics;
those lines hold them in CloudWatch's embedded metric format, so that logging an event is all that its code does.

    request ──correlation id──▶ run, in this process by context ──▶ message ──▶ worker

Run input and output are never logged: of an exception only its class and the places it passed.
"""

import contextlib
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

NAMESPACE = "langgraph-lambda"
"""CloudWatch namespace of the metrics; their one dimension is `service`."""

FLUSH_S = 2.0
"""For how long trace exporters may keep a sandbox from freezing, in seconds; drivers stop earlier than that."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that is read off an event."""

    name: str
    unit: str = "Count"
    field: str | None = None
    """The event's field that holds the value, without which there is none; None: each such event counts one."""


METRICS: Mapping[str, tuple[Metric, ...]] = {
    "request served": (Metric("ServerErrors", field="server_errors"),),
    "window closed": (Metric("WaitExpiries"),),
    "run begun": (
        Metric("QueueToStart", "Milliseconds", field="queue_ms"),
        Metric("TakeOvers", field="taken_over"),
    ),
    "run ended": (
        Metric("RunDuration", "Milliseconds", field="duration_ms"),
        Metric("RunFailures", field="failures"),
    ),
    "run handed on": (Metric("HandOffs"),),
    "lease lost": (Metric("LeaseLosses"),),
    "message failed": (Metric("MessageFailures"),),
    "expiry failed": (Metric("MessageFailures"),),
}
"""What each event counts as; all others are log lines alone."""

LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""Lambda's names of levels, where Python's differ."""

OWN_LOGGERS = "handler"

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "aws_request_id", "tenant_id"}
_context: ContextVar[Mapping[str, str]] = ContextVar("correlation", default={})  # noqa: B039 - never changed in place


@contextlib.contextmanager
def correlated(**fields: str) -> Iterator[None]:
    """Add fields to every line logged here and by what is started here; empty ones are left out."""
    token = _context.set({**_context.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _context.reset(token)


def correlation_id() -> str:
    """The id of the client's request that all this goes back to; empty if it is not known."""
    return _context.get().get("correlation_id", "")


class JsonLines(logging.Formatter):
    """One JSON object a line: the event, its fields, its correlation, and its metrics if it has any."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = record.getMessage()
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": LEVELS.get(record.levelname, record.levelname),
            "message": message,
            "logger": record.name,
            **_context.get(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None},
        }
        if record.exc_info and record.exc_info[0]:
            line |= described(record.exc_info[0], record.exc_info[2])
        line |= embedded_metrics(metrics_of(record), self.service, int(record.created * 1000))
        return json.dumps(line, default=str, ensure_ascii=False)


def described(kind: type[BaseException], passed: TracebackType | None) -> dict[str, Any]:
    """An exception without its message, which may quote what a user said: its class and the places it passed."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(passed)]
    return {"error": kind.__name__, "stack": places}


def metrics_of(record: logging.LogRecord) -> dict[Metric, Any]:
    """The metrics that an event of this service carries, with their values."""
    if record.name.split(".")[0] != OWN_LOGGERS:
        return {}
    metrics = METRICS.get(record.getMessage(), ())
    values = {metric: 1 if metric.field is None else getattr(record, metric.field, None) for metric in metrics}
    return {metric: value for metric, value in values.items() if value is not None}


def embedded_metrics(metrics: Mapping[Metric, Any], service: str, now_ms: int) -> dict[str, Any]:
    """What makes a log line a source of metrics, in CloudWatch's embedded metric format; nothing if it has none."""
    if not metrics:
        return {}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service"]],
        "Metrics": [{"Name": metric.name, "Unit": metric.unit} for metric in metrics],
    }
    return {
        "service": service,
        **{metric.name: value for metric, value in metrics.items()},
        "_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]},
    }


class LoudOrCounted(logging.Filter):
    """Lets pass what is at a level or above, and what carries a metric at any level: alarms rest on those lines."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        return record.levelno >= self.level or bool(metrics_of(record))


class StandardOutput(logging.Handler):
    """Writes each line at once to whatever is the standard output by then; Lambda takes JSON from there as it is."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except Exception:  # as every handler: a line that cannot be written stops nobody
            self.handleError(record)


def configure_logging(service: str, level: str) -> None:
    """Have every logger write JSON lines from `level` on, metrics always; takes the place of the runtime's handlers."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = StandardOutput()
    handler.setFormatter(JsonLines(service))
    handler.addFilter(LoudOrCounted(threshold))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.getLogger(OWN_LOGGERS).setLevel(logging.INFO)
    # They report each request at INFO, which its metrics and ours do better.
    for chatty in ("httpx", "httpcore", "botocore", "mangum", "urllib3"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def flush_exporters(timeout_s: float = FLUSH_S) -> bool:
    """Send what LangSmith and OpenTelemetry hold back, if they are loaded at all; False if time was up before."""
    threads = [threading.Thread(target=flush, daemon=True) for flush in pending_flushes(timeout_s)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def pending_flushes(timeout_s: float) -> list[Callable[[], object]]:
    """How to flush each exporter that a graph has set up; this never imports one."""
    flushes: list[Callable[[], object]] = []
    langsmith = getattr(sys.modules.get("langsmith.run_trees"), "_CLIENT", None)
    if langsmith is not None:
        flushes.append(_quietly(langsmith.flush))
    for sdk, api, getter in (
        ("opentelemetry.sdk.trace", "opentelemetry.trace", "get_tracer_provider"),
        ("opentelemetry.sdk.metrics", "opentelemetry.metrics", "get_meter_provider"),
    ):
        if sdk in sys.modules and api in sys.modules:
            force_flush = getattr(getattr(sys.modules[api], getter)(), "force_flush", None)
            if force_flush is not None:
                flushes.append(_quietly(force_flush, int(timeout_s * 1000)))
    return flushes


def _quietly(flush: Callable[..., object], *arguments: object) -> Callable[[], None]:
    def attempt() -> None:
        try:
            flush(*arguments)
        except Exception as error:  # a tracer's failure is no failure of the run
            logging.getLogger(__name__).warning("traces not flushed", extra={"error": type(error).__name__})

    return attempt
