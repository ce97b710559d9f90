"""JSON as LangGraph's values need it."""

from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json


def encode(value: Any) -> bytes:
    """JSON of whatever a graph may hold: messages, models, dataclasses, enums, sets, bytes; NaN becomes null.

    Half a surrogate pair, which models cut off in the midst of an emoji leave behind, becomes a question mark.
    """
    try:
        return to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=_fallback)
    except (PydanticSerializationError, UnicodeEncodeError):
        return to_json(without_surrogates(value), bytes_mode="base64", inf_nan_mode="null", fallback=_fallback)


def without_surrogates(value: Any) -> Any:
    """A value whose texts, keys included, can be written as UTF-8; models and dataclasses become mappings."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, tuple):
        parts = tuple(map(without_surrogates, value))
        return type(value)(*parts) if hasattr(value, "_fields") else parts
    if isinstance(value, list | set | frozenset):
        return list(map(without_surrogates, value))
    if isinstance(value, dict):
        return {without_surrogates(name): without_surrogates(one) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: without_surrogates(getattr(value, one.name)) for one in fields(value)}
    return without_surrogates(value.model_dump()) if isinstance(value, BaseModel) else value


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
