"""The OpenAPI document: FastAPI's own, with tags, names, answers, and the shape of errors."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from handler.api.bodies import Documented
from handler.api.openapi_schemas import ANSWERS, PARAMETERS, SCHEMAS, TAGS

Document = dict[str, Any]

ERRORS = {
    "400": "The request contradicts itself or the state of what it names.",
    "404": "What the request names is not there, or the caller may not see it.",
    "409": "The request lost against the present state of what it names.",
    "413": "A request, a value or a result is larger than the platform can carry.",
    "422": "A field has a value that is not allowed.",
    "501": "The request asks, by a known name, for what this server does not do.",
    "503": "The storage could not be reached; try again.",
}
"""What each status of an error means, whatever the endpoint."""

STREAMS = ("/stream", "/stream/events")
"""How the paths end whose answer is an event stream."""


def document(app: FastAPI, routers: Iterable[APIRouter]) -> Document:
    """The document of an application over these routers."""
    found: Document = FastAPI.openapi(app)
    found["components"] = {"schemas": dict(SCHEMAS), "responses": dict(error_responses())}
    found["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path in found["paths"]:
                for method in route.methods or ():
                    describe(found, route, method, found["paths"][route.path][method.lower()])
    return found


def describe(found: Document, route: APIRoute, method: str, operation: Document) -> None:
    """Give an operation its name, its tag, its parameters, its answers and the schemas of its body."""
    endpoint = f"{method} {route.path}"
    operation["operationId"] = route.name
    operation["tags"] = [tag_of(route.path)]
    named = {(one["name"], one["in"]) for one in operation.get("parameters", ())}
    more = [one for one in PARAMETERS.get(endpoint, ()) if (one["name"], one["in"]) not in named]
    if more:
        operation["parameters"] = [*operation.get("parameters", ()), *more]
    operation["responses"] = {**dict(answers(endpoint, route)), **dict(errors())}
    if isinstance(route.openapi_extra, Documented):
        body = route.openapi_extra.model
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        found["components"]["schemas"].update(schema.pop("$defs", {}))
        found["components"]["schemas"][body.__name__] = schema
        content = operation["requestBody"]["content"]["application/json"]
        one = {"$ref": f"#/components/schemas/{body.__name__}"}
        content["schema"] = {"type": "array", "minItems": 1, "items": one} if route.openapi_extra.many else one


def tag_of(path: str) -> str:
    """The reference's tag for a path."""
    if "/crons" in path:
        return "Crons"
    if path.startswith("/threads/{thread_id}/runs") or path == "/runs/cancel":
        return "Thread Runs"
    first = path.split("/")[1]
    known = {"assistants": "Assistants", "threads": "Threads", "runs": "Stateless Runs", "store": "Store"}
    return known.get(first, "System")


def answers(endpoint: str, route: APIRoute) -> Iterator[tuple[str, Document]]:
    """What an endpoint answers when it succeeds."""
    status = route.status_code or 200
    if status == 204:
        yield "204", {"description": "Done; there is no body."}
        return
    schema: Document = ANSWERS.get(endpoint, {})
    kind = "text/event-stream" if route.path.endswith(STREAMS) else "application/json"
    shown = {"type": "string", "description": "Server-sent events."} if kind == "text/event-stream" else schema
    yield str(status), {"description": "Success.", "content": {kind: {"schema": shown}}}


def errors() -> Iterator[tuple[str, Document]]:
    """The one shape of errors, for each status."""
    for status in ERRORS:
        yield status, {"$ref": f"#/components/responses/Error{status}"}


def error_responses() -> Iterator[tuple[str, Document]]:
    """The answers that every operation refers to."""
    shape = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status, text in ERRORS.items():
        yield f"Error{status}", {"description": text, "content": shape}
