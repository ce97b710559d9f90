"""Answers: JSON as LangGraph's values need it, and the one shape of errors."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic_core import from_json, to_json
from starlette.responses import Response

from handler.errors import (
    BadRequest,
    Conflict,
    GraphLoadError,
    Invalid,
    NotFound,
    NotSupported,
    PayloadTooLarge,
    ServiceError,
    StorageUnavailable,
)

STATUS_OF: Mapping[type[ServiceError], int] = {
    BadRequest: 400,
    NotFound: 404,
    Conflict: 409,
    PayloadTooLarge: 413,
    Invalid: 422,
    GraphLoadError: 500,
    NotSupported: 501,
    StorageUnavailable: 503,
}
"""The HTTP status of each kind of error."""


def status_of(error: ServiceError) -> int:
    """The HTTP status of an error: that of the nearest class in the table."""
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)


def encode(value: Any) -> bytes:
    """JSON of whatever a graph may hold: messages, models, dataclasses, enums, sets, bytes; NaN becomes null."""
    return to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=_fallback)


def plain(value: Any) -> Any:
    """A value as whoever reads its JSON sees it."""
    return from_json(encode(value))


def _fallback(value: Any) -> Any:
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": str(value)}
    if type(value).__name__ == "Send" and type(value).__module__ == "langgraph.types":
        return {"node": value.node, "args": value.arg}
    for method in ("model_dump", "dict", "to_dict", "_asdict"):
        dump = getattr(value, method, None)
        if callable(dump) and not isinstance(value, type):
            with suppress(Exception):  # a method of this name that wants arguments, or fails: the text has to do
                return dump()
    return str(value)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(encode(value), status, headers=headers, media_type="application/json")


def error_answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The one shape of an error: `{"detail": text}`."""
    return json_answer({"detail": detail}, status, headers)
