"""Request bodies: read, bounded, parsed and checked, before anything is done."""

import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from handler.errors import Invalid, PayloadTooLarge

Model = TypeVar("Model", bound=BaseModel)


def body_of(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads the request's body as `model`."""

    async def read(request: Request) -> Model:
        return checked(model, await parsed_body(request))

    return read


class Documented(dict[str, Any]):
    """A mapping whose content is worked out when it is read: the schemas of all bodies cost 30 ms of a cold start."""

    def __init__(self, model: type[BaseModel], *, many: bool = False) -> None:
        super().__init__(requestBody=None)
        self.model = model
        self.many = many

    def items(self) -> Any:
        """The one item."""
        schema = self.model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        if self.many:
            schema = {"type": "array", "minItems": 1, "items": schema}
        return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}.items()


def documented(model: type[BaseModel], *, many: bool = False) -> dict[str, Any]:
    """What the OpenAPI document says of a route whose body is read by `body_of(model)`, or is a list of such."""
    return Documented(model, many=many)


async def parsed_body(request: Request) -> Any:
    """The body as JSON; 413 above the limit, 422 for what is not JSON (NaN and infinities are not)."""
    limit: int = request.app.state.services.settings.max_body_bytes
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise PayloadTooLarge(f"The request body is larger than {limit} bytes")
    try:
        value = from_json(bytes(data), allow_inf_nan=False)
    except ValueError:
        raise Invalid("Invalid JSON in request body") from None
    if OVERFLOWING.search(data) and not is_finite(value):
        raise Invalid("Invalid JSON in request body: a number is out of range")
    return value


OVERFLOWING = re.compile(rb"[eE]\+?[0-9]{3}")
"""What a number must hold to become infinite when it is read."""


def is_finite(value: Any) -> bool:
    """Whether no number in a JSON value is infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(is_finite(one) for one in value.values())
    return all(is_finite(one) for one in value) if isinstance(value, list) else True


def checked(model: type[Model], value: Any) -> Model:
    """`value` as `model`; Invalid names the first field that is wrong, without repeating its value."""
    if not isinstance(value, dict):
        raise Invalid("the request body must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{where}: {first['msg']}" if where else str(first["msg"])) from None
