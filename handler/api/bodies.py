"""Request bodies: read, bounded, parsed and checked, before anything is done."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from handler.errors import BadRequest, Invalid, PayloadTooLarge

Model = TypeVar("Model", bound=BaseModel)


def body_of(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads the request's body as `model`."""

    async def read(request: Request) -> Model:
        return checked(model, await parsed_body(request))

    return read


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of a route whose body is read by `body_of(model)`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def parsed_body(request: Request) -> Any:
    """The body as JSON; 413 above the limit, 422 for what is not JSON (NaN and infinities are not)."""
    limit: int = request.app.state.services.settings.max_body_bytes
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise PayloadTooLarge(f"The request body is larger than {limit} bytes")
    try:
        return from_json(bytes(data), allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise BadRequest("Recursion limit reached") from None
        raise Invalid("Invalid JSON in request body") from None


def checked(model: type[Model], value: Any) -> Model:
    """`value` as `model`; Invalid names the first field that is wrong, without repeating its value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{where}: {first['msg']}" if where else str(first["msg"])) from None
