"""JSON as LangGraph's values need it."""

from contextlib import suppress
from typing import Any

from pydantic_core import to_json


def encode(value: Any) -> bytes:
    """JSON of whatever a graph may hold: messages, models, dataclasses, enums, sets, bytes; NaN becomes null."""
    return to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=_fallback)


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
