"""What langgraph.json says of the store and of the HTTP server; a key that is not heeded is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handler.errors import GraphLoadError


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """How the store finds items by their meaning: `store.index`."""

    embed: str
    """`path.py:attribute` of a function or an Embeddings object, or `provider:model`."""
    dims: int
    """The length of a vector."""
    fields: tuple[str, ...] = ("$",)
    """What of a value is embedded, unless a put says otherwise."""


@dataclass(frozen=True, slots=True)
class StoreTtl:
    """How long items of the store live: `store.ttl`."""

    default_minutes: float | None = None
    refresh_on_read: bool = True


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What langgraph.json says of the store."""

    index: IndexConfig | None = None
    ttl: StoreTtl | None = None


def read_store(path: Path, value: Any) -> StoreConfig:
    """Read `store`."""
    if value is None:
        return StoreConfig()
    section = checked_section(path, "store", value, {"index", "ttl"})
    return StoreConfig(_read_index(path, section.get("index")), _read_ttl(path, section.get("ttl")))


def _read_index(path: Path, value: Any) -> IndexConfig | None:
    if value is None:
        return None
    section = checked_section(path, "store.index", value, {"embed", "dims", "fields"})
    embed, dims, fields = section.get("embed"), section.get("dims"), section.get("fields") or ["$"]
    if not isinstance(embed, str) or ":" not in embed:
        raise GraphLoadError(f'{path}: "store.index.embed" must be "path/to/file.py:attribute" or "provider:model"')
    if not isinstance(dims, int) or isinstance(dims, bool) or dims < 1:
        raise GraphLoadError(f'{path}: "store.index.dims" must be the length of a vector')
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise GraphLoadError(f'{path}: "store.index.fields" must be a list of strings')
    return IndexConfig(embed, dims, tuple(fields))


def _read_ttl(path: Path, value: Any) -> StoreTtl | None:
    if value is None:
        return None
    # DynamoDB sweeps by itself, so the interval changes nothing.
    section = checked_section(path, "store.ttl", value, {"default_ttl", "refresh_on_read", "sweep_interval_minutes"})
    default = section.get("default_ttl")
    if default is not None and (isinstance(default, bool) or not isinstance(default, int | float)):
        raise GraphLoadError(f'{path}: "store.ttl.default_ttl" must be a number of minutes')
    return StoreTtl(default, bool(section.get("refresh_on_read", True)))


def checked_section(path: Path, name: str, value: Any, known: set[str]) -> Mapping[str, Any]:
    """An object of langgraph.json; GraphLoadError names a key of it that this server does not know."""
    if not isinstance(value, dict):
        raise GraphLoadError(f'{path}: "{name}" must be an object')
    for key in value:
        if key not in known:
            raise GraphLoadError(f'{path}: "{name}.{key}" is not supported')
    return value
