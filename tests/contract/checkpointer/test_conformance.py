"""LangGraph's own conformance suite: every capability, on both engines."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES
from langgraph.checkpoint.conformance.report import CapabilityReport
from langgraph.checkpoint.memory import InMemorySaver

from handler.storage.checkpointer import DynamoDBSaver
from tests.contract.checkpointer.conftest import NewTable
from tests.engines import Engine


def shortcomings(report: CapabilityReport) -> list[str]:
    """What keeps a report from being complete: capabilities absent, skipped, failed or without a test."""
    found: list[str] = []
    for capability in sorted(name.value for name in ALL_CAPABILITIES):
        result = report.results.get(capability)
        if result is None or not result.detected:
            found.append(f"{capability}: not detected")
        elif result.tests_skipped or not result.tests_passed:
            found.append(f"{capability}: {result.tests_passed} passed, {result.tests_skipped} skipped")
        else:
            found += [f"{capability}: {failure}" for failure in result.failures]
    return found


async def test_every_capability_is_detected_and_passes(
    either_engine: Engine, new_table: NewTable, capsys: pytest.CaptureFixture[str]
) -> None:
    async def savers() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
        yield DynamoDBSaver(new_table(), scans=True)

    report = await validate(checkpointer_test(f"DynamoDBSaver on {either_engine.name}")(savers))

    with capsys.disabled():
        report.print_report()
        print(f"    {sum(result.tests_passed for result in report.results.values())} tests passed")
    assert shortcomings(report) == []
    assert report.passed_all()


async def test_a_saver_that_lacks_capabilities_would_not_pass() -> None:
    async def savers() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
        yield InMemorySaver()

    report = await validate(checkpointer_test("InMemorySaver")(savers), capabilities={"put", "prune"})

    assert "prune: not detected" in shortcomings(report)
    assert not [line for line in shortcomings(report) if line.startswith("put:")]
