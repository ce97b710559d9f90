"""The items of the store, and what may be asked of it; the vocabulary is that of LangGraph's BaseStore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from handler.domain.models import JsonObject
from handler.errors import BadRequest, Invalid

Namespace = tuple[str, ...]
"""Labels, from the root down."""

Vector = Sequence[float]
"""What a text means, as an embedding function sees it."""

RESERVED_ROOT = "langgraph"
"""The first label that callers may not write below."""


@dataclass(frozen=True, slots=True)
class StoreItem:
    """A value under a namespace and a key."""

    namespace: Namespace
    key: str
    value: JsonObject
    created_at: datetime
    updated_at: datetime
    score: float | None = None
    """How near it is in meaning to what was searched for; None: that was not asked, or it has no vectors."""


@dataclass(frozen=True, slots=True)
class StoreSearch:
    """Which items to read."""

    prefix: Namespace = ()
    filter: Mapping[str, Any] | None = None
    limit: int = 10
    offset: int = 0
    refresh: bool = False
    """Whether the time to live of what is found begins anew."""


@dataclass(frozen=True, slots=True)
class NamespaceListing:
    """Which namespaces to read."""

    conditions: tuple[tuple[Literal["prefix", "suffix"], tuple[str, ...]], ...] = ()
    """What a namespace has to begin or end with; `*` is any one label."""
    max_depth: int | None = None
    """At how many labels deeper namespaces are cut off."""
    limit: int = 100
    offset: int = 0

    @property
    def prefix(self) -> Namespace:
        """The longest prefix, before any `*`, that all namespaces have."""
        prefixes = [path for kind, path in self.conditions if kind == "prefix"]
        plain = [path[: path.index("*")] if "*" in path else path for path in prefixes]
        return max(plain, key=len, default=())

    def matches(self, namespace: Namespace) -> bool:
        """Whether a namespace meets all conditions."""
        return all(_matches(namespace, kind, path) for kind, path in self.conditions)


def _matches(namespace: Namespace, kind: str, path: tuple[str, ...]) -> bool:
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if kind == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def checked_namespace(labels: Sequence[Any]) -> Namespace:
    """Labels as a namespace or a part of one; Invalid for a label that cannot be one."""
    for label in labels:
        if not isinstance(label, str) or not label or "." in label or "\0" in label:
            raise Invalid(f"Namespace label {label!r} must be a non-empty string without periods")
    return tuple(labels)


def writable_namespace(labels: Sequence[Any]) -> Namespace:
    """Labels as a namespace to write in; BadRequest for none at all and for the reserved root."""
    namespace = checked_namespace(labels)
    if not namespace:
        raise BadRequest("Namespace cannot be empty.")
    if namespace[0] == RESERVED_ROOT:
        raise BadRequest(f'Root label for namespace cannot be "{RESERVED_ROOT}". Got: {namespace}')
    return namespace
