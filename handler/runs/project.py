"""What langgraph.json says of the store and of the HTTP server; a key that is not heeded is refused by name."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


NEVER_CONFIGURABLE = frozenset({"authorization", "x-api-key", "x-service-key", "x-tenant-id"})
"""Headers with credentials, which no pattern hands to graphs."""


@dataclass(frozen=True, slots=True)
class HeaderPatterns:
    """Which headers of a request graphs see in `configurable`: `http.configurable_headers`."""

    includes: tuple[str, ...] = ()
    """Names in lower case, in which `*` stands for anything."""
    excludes: tuple[str, ...] = ()

    def chosen(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The headers that are included and not excluded."""
        return {name: value for name, value in headers if self._passes(name.lower())}

    def _passes(self, name: str) -> bool:
        return name not in NEVER_CONFIGURABLE and _any(self.includes, name) and not _any(self.excludes, name)


def _any(patterns: tuple[str, ...], name: str) -> bool:
    return any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """What langgraph.json says of the HTTP server."""

    app: str | None = None
    """`path.py:attribute` of the application whose routes come before those of the API."""
    disabled: frozenset[str] = frozenset()
    """The parts of the API that are not served: the names behind `disable_`."""
    cors: Mapping[str, Any] | None = None
    configurable_headers: HeaderPatterns = field(default_factory=HeaderPatterns)


PARTS = ("assistants", "threads", "runs", "store", "meta", "webhooks", "ui", "mcp", "a2a")
"""What `disable_…` may name; the last three are not served in any case."""

CORS_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "allow_origins": list,
    "allow_methods": list,
    "allow_headers": list,
    "allow_credentials": bool,
    "allow_origin_regex": str,
    "expose_headers": list,
    "max_age": int,
}


def read_http(path: Path, value: Any) -> HttpConfig:
    """Read `http`."""
    if value is None:
        return HttpConfig()
    switches = {f"disable_{part}" for part in PARTS}
    # Callers are authenticated before they reach any route, the custom ones included: by the gateway.
    known = switches | {"app", "cors", "configurable_headers", "enable_custom_route_auth", "middleware_order"}
    section = checked_section(path, "http", value, known)
    for name in switches & set(section):
        if not isinstance(section[name], bool):
            raise GraphLoadError(f'{path}: "http.{name}" must be true or false')
    if section.get("middleware_order", "auth_first") != "auth_first":
        raise GraphLoadError(f'{path}: "http.middleware_order": only "auth_first" is supported')
    app = section.get("app")
    if app is not None and (not isinstance(app, str) or ":" not in app):
        raise GraphLoadError(f'{path}: "http.app" must be "path/to/file.py:attribute"')
    return HttpConfig(
        app=app,
        disabled=frozenset(part for part in PARTS if section.get(f"disable_{part}")),
        cors=_read_cors(path, section.get("cors")),
        configurable_headers=_read_headers(path, section.get("configurable_headers")),
    )


def _read_cors(path: Path, value: Any) -> Mapping[str, Any] | None:
    if value is None:
        return None
    section = checked_section(path, "http.cors", value, set(CORS_KEYS))
    for name, given in section.items():
        if not isinstance(given, CORS_KEYS[name]):
            raise GraphLoadError(f'{path}: "http.cors.{name}" has a value of the wrong type')
    return section


def _read_headers(path: Path, value: Any) -> HeaderPatterns:
    if value is None:
        return HeaderPatterns()
    names = ("includes", "include", "excludes", "exclude")
    section = checked_section(path, "http.configurable_headers", value, set(names))
    for name in section:
        patterns = section[name]
        if patterns is not None and not (isinstance(patterns, list) and all(isinstance(one, str) for one in patterns)):
            raise GraphLoadError(f'{path}: "http.configurable_headers.{name}" must be a list of strings')
    includes, excludes = (
        tuple(pattern.lower() for pattern in section.get(name) or section.get(alias) or ())
        for name, alias in (("includes", "include"), ("excludes", "exclude"))
    )
    return HeaderPatterns(includes, excludes)


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
