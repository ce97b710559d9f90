"""Alarms and dashboard watch metrics that the code emits, and each alarm leads to a chapter of the runbook."""

import ast
import json
import re
from typing import Any

import pytest

from handler.telemetry import METRICS, NAMESPACE
from tests.infra.conditions import LAYER, stack
from tests.template import TEMPLATE, load_template, resources

ROOT = TEMPLATE.parent
MONITORING = ROOT / "infra" / "monitoring.yaml"
LOG_METHODS = {"debug", "info", "warning", "error", "exception"}
OWN_METRICS = {metric.name for metrics in METRICS.values() for metric in metrics}

SUBJECTS = {
    "ServerErrors": "5xx of the application, which Mangum hides",
    "Errors": "of the functions",
    "Throttles": "of the functions",
    "ApproximateNumberOfMessagesVisible": "dead letters",
    "ApproximateAgeOfOldestMessage": "of the queue",
    "InvocationDroppedCount": "of the schedules",
    "HandOffs": "",
    "TakeOvers": "steals from drivers that died",
    "LeaseLosses": "seen by those who lost",
    "WaitExpiries": "",
    "ConsumedWriteCapacityUnits": "",
    "ConsumedReadCapacityUnits": "",
}
"""What operators are promised to see."""


def alarms() -> dict[str, dict[str, Any]]:
    """The alarms' properties."""
    found = resources("AWS::CloudWatch::Alarm", load_template(MONITORING))
    return {name: alarm["Properties"] for name, alarm in found.items()}


def dashboard(*, with_stream: bool = True) -> dict[str, Any]:
    """The dashboard's body with or without a stream function; its other variables stand as they are."""
    (board,) = resources("AWS::CloudWatch::Dashboard", load_template(MONITORING)).values()
    text, parts = board["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, part in parts.items():
        condition, then, otherwise = part["Fn::If"]
        assert (condition, otherwise) == ("WithStream", "")
        text = text.replace("${" + name + "}", then["Fn::Sub"] if with_stream else otherwise)
    body: dict[str, Any] = json.loads(text)
    return body


def shown() -> list[list[Any]]:
    """The metrics of all widgets."""
    return [row for widget in dashboard()["widgets"] for row in widget["properties"].get("metrics", [])]


def events() -> dict[str, set[str]]:
    """What the code logs: each message, with the fields that are named in its function."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "handler").rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {
            key.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Dict)
            for key in node.keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(message)), *_]):
                    if method in LOG_METHODS:
                        found.setdefault(message, set()).update(names)
    return found


def test_every_event_that_counts_is_logged_with_the_field_that_it_counts() -> None:
    logged = events()
    for event, metrics in METRICS.items():
        assert event in logged
        assert {metric.field for metric in metrics if metric.field} <= logged[event]


def test_every_own_metric_that_is_watched_is_emitted_and_the_other_way_round() -> None:
    watched = {alarm["MetricName"] for alarm in alarms().values() if alarm["Namespace"] == NAMESPACE}
    drawn = {row[1] for row in shown() if row[0] == NAMESPACE}
    assert watched <= OWN_METRICS
    assert drawn == OWN_METRICS
    for alarm in alarms().values():
        if alarm["Namespace"] == NAMESPACE:
            assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "Service"}}]
    assert all(row[2:4] == ["service", "${Service}"] for row in shown() if row[0] == NAMESPACE)


@pytest.mark.parametrize("metric", SUBJECTS)
def test_operators_see_what_they_were_promised(metric: str) -> None:
    assert metric in {row[1] for row in shown()}


def test_p99_is_shown_by_route_from_the_requests_log_lines() -> None:
    (query,) = [w["properties"]["query"] for w in dashboard()["widgets"] if "by route" in str(w)]
    fields = set(re.findall(r"duration_ms|status|route", query))
    assert "message = 'request served'" in query
    assert fields == {"duration_ms", "status", "route"} <= events()["request served"]


def test_every_function_has_its_alarms_and_lines_and_its_log_is_asked() -> None:
    alarmed = {(str(alarm["Dimensions"]), alarm["MetricName"]) for alarm in alarms().values()}
    for function in resources("AWS::Serverless::Function"):
        dimension = str([{"Name": "FunctionName", "Value": {"Ref": function}}])
        assert {(dimension, "Errors"), (dimension, "Throttles")} <= alarmed
        drawn = {row[1] for row in shown() if row[2:4] == ["FunctionName", "${" + function + "}"]}
        assert drawn == {"Errors", "Throttles", "ConcurrentExecutions"}
    queries = {w["properties"]["title"]: w["properties"]["query"] for w in dashboard()["widgets"] if w["type"] == "log"}
    sources = {title: set(re.findall(r"SOURCE '\$\{(\w+)\}'", query)) for title, query in queries.items()}
    assert sources == {
        "p99 by route, ms": {"ApiLogGroup", "StreamLogGroup"},
        "Failures of runs": {"ApiLogGroup", "WorkerLogGroup", "StreamLogGroup"},
    }


def test_a_stack_without_a_stream_function_is_shown_none() -> None:
    assert "Stream" not in json.dumps(dashboard(with_stream=False))
    conditions = resources("AWS::CloudWatch::Alarm", load_template(MONITORING))
    assert {name for name, alarm in conditions.items() if alarm.get("Condition") == "WithStream"} == {
        name for name in conditions if name.startswith("StreamFunction")
    }
    for given, there in (({}, False), ({"WebAdapterLayerArn": LAYER}, True)):
        handed = stack(**given)["Operations"]["Properties"]["Parameters"]
        assert (handed["StreamFunction"] != "", handed["StreamLogGroup"] != "") == (there, there)


def test_every_alarm_leads_to_a_chapter_of_the_runbook() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text()
    chapters = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", runbook)
    }
    for name, alarm in alarms().items():
        chapter = re.search(r"\$\{RunbookUrl\}#([a-z-]+)$", alarm["AlarmDescription"]["Fn::Sub"])
        assert chapter is not None, name
        assert chapter[1] in chapters, chapter[1]
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"]["Fn::If"][0] == "WithTopic"


def test_no_alarm_takes_a_driving_worker_for_a_waiting_message() -> None:
    longest = load_template()["Parameters"]["FunctionTimeoutSeconds"]["MaxValue"]
    assert alarms()["OldestMessageAlarm"]["Threshold"] > longest


def test_the_stack_hands_its_names_to_the_monitoring() -> None:
    (nested,) = resources("AWS::CloudFormation::Stack").values()
    assert ROOT / nested["Properties"]["TemplateURL"] == MONITORING
    assert nested["Properties"]["Parameters"].keys() == load_template(MONITORING)["Parameters"].keys()


def test_widgets_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard()["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
