"""The tree of errors and the table of statuses, held together."""

import inspect
import json
from typing import Any

import pytest

from handler import errors
from handler.api.answers import STATUS_OF, status_of
from handler.api.app import _service_error
from handler.errors import GraphLoadError, ServiceError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ServiceError)]

EXPECTED = {
    "ServiceError": 500,
    "BadRequest": 400,
    "NotFound": 404,
    "ThreadNotFound": 404,
    "RunNotFound": 404,
    "AssistantNotFound": 404,
    "CronNotFound": 404,
    "Conflict": 409,
    "AssistantExists": 409,
    "SystemAssistant": 409,
    "ThreadExists": 409,
    "ThreadBusy": 409,
    "AlreadyAccepted": 500,
    "PayloadTooLarge": 413,
    "Invalid": 422,
    "NotSupported": 501,
    "StorageUnavailable": 503,
    "LeaseLost": 500,
    "GraphLoadError": 500,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_the_status_that_its_docstring_promises(kind: type[ServiceError]) -> None:
    assert status_of(kind.__new__(kind)) == EXPECTED[kind.__name__]


def test_the_table_of_statuses_names_only_errors_that_exist_once_each() -> None:
    assert set(STATUS_OF) <= set(KINDS)
    assert len(set(STATUS_OF.values())) == len(STATUS_OF)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawing = errors.__doc__ or ""
    for kind in KINDS:
        line = next(line for line in drawing.splitlines() if kind.__name__ in line.split())
        if kind in STATUS_OF and kind is not errors.GraphLoadError:
            assert str(STATUS_OF[kind]) in line
        depth = line.index(kind.__name__) // 4
        assert len(kind.__mro__) - len(ServiceError.__mro__) == depth


def test_errors_that_name_something_say_what_and_where() -> None:
    assert str(errors.ThreadNotFound("T1")) == "Thread with ID T1 not found"
    assert str(errors.RunNotFound("R1")) == "Run with ID R1 not found"
    assert str(errors.AssistantNotFound("A1")) == "Assistant with ID A1 not found"
    assert str(errors.ThreadExists("T1")) == "Thread with ID T1 already exists"
    found = (errors.ThreadNotFound("T").thread_id, errors.RunNotFound("R").run_id)
    assert (*found, errors.AssistantNotFound("A").assistant_id) == ("T", "R", "A")


def test_every_error_of_the_tree_says_what_it_means() -> None:
    assert all(kind.__doc__ for kind in KINDS)


async def test_what_a_graph_says_of_its_own_failure_is_for_its_owner_and_not_for_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request: Any = None
    answer = await _service_error(request, GraphLoadError("agent.py cannot be imported: postgres://admin:secret@db"))
    assert (answer.status_code, json.loads(bytes(answer.body))) == (500, {"detail": "Internal Server Error"})
    (record,) = caplog.records
    assert (record.message, record.levelname) == ("unexpected error", "ERROR")
