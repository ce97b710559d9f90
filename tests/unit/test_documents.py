"""The generated documents: checked in, up to date, and true."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from handler.api.app import ROUTERS
from handler.api.endpoints import DOCS, ENDPOINTS, served
from tests.difference.clients import callers, javascript_calls, python_endpoints, python_fields, python_methods
from tests.difference.compatibility import MISSING, PARTIAL, status_of
from tests.difference.documents import documents, openapi
from tests.difference.evidence import evidence

NO_FIELDS = {
    ("threads.create", "graph_id"),  # of its metadata
    ("threads.update", "Prefer"),  # a header, which the document lists with FastAPI's own name
    ("assistants.search", "assistants"),
    ("assistants.search", "next"),  # of what it returns
}
"""What the SDK names where it is no field of a request."""

METHODS = ("get", "put", "post", "delete", "patch")


def test_every_document_is_up_to_date() -> None:
    stale = [path.name for path, text in documents().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run `make documents`"


def test_every_endpoint_that_a_client_calls_is_in_the_table() -> None:
    assert set(callers()) - set(ENDPOINTS) == set()
    assert {"POST /threads/{thread_id}/runs/wait", "POST /runs/wait", "PUT /store/items"} <= python_endpoints()


def test_every_route_is_in_the_table() -> None:
    assert served(ROUTERS) - set(ENDPOINTS) == set()


def test_every_endpoint_that_is_served_is_shown_by_a_test() -> None:
    shown = evidence()
    assert [endpoint for endpoint in served(ROUTERS) | {DOCS} if not shown[endpoint]] == []


def test_no_remark_outlives_what_it_is_about() -> None:
    assert {endpoint: status_of(endpoint) for endpoint in PARTIAL} == dict.fromkeys(PARTIAL, "partial")
    assert {endpoint: status_of(endpoint) for endpoint in MISSING} == dict.fromkeys(MISSING, "no")


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        (
            'const e = id == null ? `/runs/wait` : `/threads/${q(id)}/runs/wait`;\n f(endpoint, {\n method: "POST"',
            2,
        ),
        ('return this.fetch(`/threads/${threadId}?a=${b ?? 1}`, {\n method: "DELETE" });\n fetch("/threads")', 2),
    ],
)
def test_the_calls_of_a_javascript_source_are_found(source: str, calls: int) -> None:
    found = list(javascript_calls(source))
    assert len(found) == calls
    assert set(found) <= {*ENDPOINTS, "GET /threads"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation of a document, by its endpoint."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield f"{method.upper()} {path}", methods[method]


def test_the_openapi_document_describes_every_route() -> None:
    assert {endpoint for endpoint, _ in operations(openapi())} == served(ROUTERS)


def taken_by(document: dict[str, Any], node: Any) -> set[str]:
    """The names of all that an operation takes: parameters and fields, nested ones too."""
    if isinstance(node, list):
        return {name for one in node for name in taken_by(document, one)}
    if not isinstance(node, dict):
        return set()
    if "$ref" in node:
        return taken_by(document, document["components"]["schemas"][node["$ref"].rpartition("/")[2]])
    names = set(node.get("properties", {})) | ({node["name"]} if "in" in node else set())
    return names.union(*(taken_by(document, one) for one in node.values()))


def test_no_field_that_the_python_sdk_sends_is_unknown() -> None:
    document = openapi()
    taken = {
        endpoint: taken_by(document, [operation.get("parameters"), operation.get("requestBody")])
        for endpoint, operation in operations(document)
    }
    sent, methods = python_fields(), python_methods()
    assert {"strict_resume", "langsmith_tracer"} <= sent["runs.wait"], "names are found at all"
    unknown = {
        (method, name)
        for method, names in sent.items()
        if methods[method] & taken.keys()
        for name in names.difference(*(taken[one] for one in methods[method] & taken.keys()))
    }
    assert unknown == NO_FIELDS


def test_every_operation_has_a_name_of_its_own_a_tag_and_the_one_shape_of_errors() -> None:
    document = openapi()
    found = dict(operations(document))
    names = [operation["operationId"] for operation in found.values()]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for endpoint, operation in found.items():
        assert set(operation["tags"]) <= tags, endpoint
        assert operation["responses"]["404"] == {"$ref": "#/components/responses/Error404"}, endpoint
        assert any(status.startswith("2") for status in operation["responses"]), endpoint


def test_every_reference_within_the_document_leads_somewhere() -> None:
    document = openapi()
    targets = set(re.findall(r'"#/components/(\w+/\w+)"', json.dumps(document)))
    assert len(targets) > 20
    missing = [one for one in targets if one.split("/")[1] not in document["components"][one.split("/")[0]]]
    assert missing == []
