"""Log lines are JSON with what belongs together, carry metrics, and never quote what a user said."""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from handler.telemetry import (
    METRICS,
    NAMESPACE,
    JsonLines,
    configure_logging,
    correlated,
    correlation_id,
    flush_exporters,
)

SECRET = "my card number is 4711"


def line(message: str, *, name: str = "handler.x", level: int = logging.INFO, **extra: Any) -> dict[str, Any]:
    """What a record becomes."""
    record = logging.getLogger(name).makeRecord(name, level, __file__, 1, message, (), None, extra=extra)
    written: dict[str, Any] = json.loads(JsonLines("mine").format(record))
    return written


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before when the test is over."""
    logger = logging.getLogger()
    names = ("handler", "httpx", "httpcore", "botocore", "mangum", "urllib3")
    handlers, level = list(logger.handlers), logger.level
    levels = {name: logging.getLogger(name).level for name in names}
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_line_has_the_event_and_its_fields() -> None:
    written = line("something", level=logging.WARNING, run_id="R", attempt=2, nothing=None)
    assert (written["message"], written["level"], written["logger"]) == ("something", "WARN", "handler.x")
    assert (written["run_id"], written["attempt"]) == ("R", 2)
    assert "nothing" not in written
    assert written["timestamp"].endswith("Z")
    assert "_aws" not in written


@pytest.mark.parametrize("event", METRICS)
def test_an_event_that_counts_carries_its_metrics(event: str) -> None:
    metrics = METRICS[event]
    fields = {metric.field: 7 for metric in metrics if metric.field}
    written = line(event, **fields)  # type: ignore[arg-type]
    (directive,) = written["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    assert directive["Dimensions"] == [["service"]]
    assert written["service"] == "mine"
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {m.name: m.unit for m in metrics}
    for metric in metrics:
        assert written[metric.name] == (7 if metric.field else 1)


def test_a_metric_whose_field_is_missing_is_not_emitted() -> None:
    assert "_aws" not in line("request served", server_errors=None)
    written = line("run ended", duration_ms=12, failures=None)
    assert [metric["Name"] for metric in written["_aws"]["CloudWatchMetrics"][0]["Metrics"]] == ["RunDuration"]


def test_a_graphs_own_line_of_the_same_text_is_no_metric() -> None:
    assert "_aws" not in line("lease lost", name="my_graph")


def test_an_exception_is_told_by_class_and_places_and_not_by_what_it_says() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        record = logging.getLogger("handler").makeRecord(
            "handler", logging.ERROR, __file__, 1, "message failed", (), sys.exc_info()
        )
    text = JsonLines("mine").format(record)
    assert SECRET not in text
    written = json.loads(text)
    assert written["error"] == "ValueError"
    assert written["stack"][-1].endswith("test_an_exception_is_told_by_class_and_places_and_not_by_what_it_says")


def test_correlation_reaches_the_lines_of_tasks_and_threads_and_ends_with_its_block() -> None:
    async def outlive() -> dict[str, Any]:
        with correlated(correlation_id="request-1", request_id=""):
            task = asyncio.create_task(asyncio.to_thread(line, "x"))
        assert correlation_id() == ""
        return await task

    assert asyncio.run(outlive())["correlation_id"] == "request-1"
    assert "request_id" not in line("x")


def test_logging_is_json_on_standard_output_and_other_packages_debug_lines_are_never_written(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("mine", "INFO")
    logging.getLogger("handler.x").info("ours", extra={"run_id": "R"})
    logging.getLogger("botocore.endpoint").debug("body: %s", SECRET)
    logging.getLogger("botocore.endpoint").info("request")
    logging.getLogger("my_graph").debug(SECRET)
    logging.getLogger("my_graph").info("of a graph")
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [each["message"] for each in lines] == ["ours", "of a graph"]


def test_a_level_quietens_everyone(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("mine", "ERROR")
    logging.getLogger("handler.x").warning("ours")
    logging.getLogger("my_graph").warning("of a graph")
    assert capsys.readouterr().out == ""


def test_no_level_silences_a_metric(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("mine", "ERROR")
    log = logging.getLogger("handler.x")
    log.info("request served", extra={"server_errors": None})
    log.info("request served", extra={"server_errors": 1})
    log.info("lease lost")
    logging.getLogger("my_graph").info("lease lost")
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [(each["message"], each.get("ServerErrors")) for each in lines] == [
        ("request served", 1),
        ("lease lost", None),
    ]
    assert all(each["_aws"]["CloudWatchMetrics"] for each in lines)


def test_exporters_that_nobody_has_loaded_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("langsmith", "opentelemetry"))]:
        monkeypatch.delitem(sys.modules, name)
    assert flush_exporters() is True
    assert not [name for name in sys.modules if name.startswith(("langsmith", "opentelemetry"))]


def tracing(monkeypatch: pytest.MonkeyPatch, flush: Any) -> None:
    """Have LangSmith loaded, with a client whose flush this is."""
    module = ModuleType("langsmith.run_trees")
    module._CLIENT = SimpleNamespace(flush=flush)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "langsmith.run_trees", module)


def test_langsmith_and_opentelemetry_are_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    tracing(monkeypatch, lambda: flushed.append("langsmith"))
    for signal, getter in (("trace", "get_tracer_provider"), ("metrics", "get_meter_provider")):
        provider = SimpleNamespace(force_flush=lambda ms, name=signal: flushed.append(f"{name} {ms}"))
        api = ModuleType(f"opentelemetry.{signal}")
        setattr(api, getter, lambda found=provider: found)
        monkeypatch.setitem(sys.modules, f"opentelemetry.{signal}", api)
        monkeypatch.setitem(sys.modules, f"opentelemetry.sdk.{signal}", ModuleType(f"opentelemetry.sdk.{signal}"))
    assert flush_exporters(1.5) is True
    assert sorted(flushed) == ["langsmith", "metrics 1500", "trace 1500"]


def test_an_exporter_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    tracing(monkeypatch, release.wait)
    try:
        assert flush_exporters(0.01) is False
    finally:
        release.set()


def test_an_exporter_that_fails_fails_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def flush() -> None:
        raise OSError(SECRET)

    tracing(monkeypatch, flush)
    assert flush_exporters() is True
    assert [record.message for record in caplog.records] == ["traces not flushed"]
    assert SECRET not in caplog.text


def test_the_installed_langsmith_keeps_its_client_where_it_is_looked_for() -> None:
    from langsmith import Client, run_trees

    assert hasattr(run_trees, "_CLIENT")
    assert callable(Client.flush)
