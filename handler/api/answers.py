"""Answers in JSON, and the one shape of errors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic_core import from_json
from starlette.responses import Response

from handler.domain.models import JsonObject
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
from handler.runs.encoding import encode as encode

T = TypeVar("T")

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


def plain(value: Any) -> Any:
    """A value as whoever reads its JSON sees it."""
    return from_json(encode(value))


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(encode(value), status, headers=headers, media_type="application/json")


def page_answer(
    found: Sequence[T], shown: Callable[[T], JsonObject], *, offset: int, limit: int, select: Sequence[str] | None
) -> Response:
    """One page of what was found, each row with the fields of `select`; all of them where it names none."""
    end = offset + limit
    page = [shown(one) for one in found[offset:end]]
    if select:
        page = [{name: row[name] for name in select} for row in page]
    return json_answer(page, headers=page_headers(offset + len(page), more=len(found) > end))


def page_headers(end: int, *, more: bool) -> Mapping[str, str]:
    """The headers of a page that ends before row `end`: how many rows there are at least, and where the next begins."""
    return {"X-Pagination-Total": str(end + more)} | ({"X-Pagination-Next": str(end)} if more else {})


def error_answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The one shape of an error: `{"detail": text}`."""
    return json_answer({"detail": detail}, status, headers)
