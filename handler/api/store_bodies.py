"""The bodies of requests about the store, and how an item is shown."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from handler.api.schemas import Body, JsonDict
from handler.domain.models import JsonObject
from handler.domain.store import StoreItem

Labels = list[StrictStr]
Count = Annotated[StrictInt, Field(ge=0)]


class ItemPutBody(Body):
    """An item to store."""

    namespace: Labels
    key: StrictStr
    value: JsonDict
    index: Literal[False] | list[StrictStr] | None = Field(
        default=None, description="What of the value is embedded; false: nothing."
    )
    ttl: Annotated[float, Field(strict=True)] | None = Field(default=None, description="Minutes.")


class ItemDeleteBody(Body):
    """An item to delete."""

    namespace: Labels = Field(default_factory=list)
    key: StrictStr


class ItemSearchBody(Body):
    """Which items to read."""

    namespace_prefix: Labels | None = None
    filter: JsonDict | None = None
    limit: Count | None = 10
    offset: Count | None = 0
    query: StrictStr | None = Field(default=None, description="What the items are to be near to in meaning.")
    refresh_ttl: StrictBool | None = None


class NamespacesBody(Body):
    """Which namespaces to list."""

    prefix: Labels | None = None
    suffix: Labels | None = None
    max_depth: Count | None = None
    limit: Count = 100
    offset: Count = 0


def shown_item(item: StoreItem) -> JsonObject:
    """An item as the API shows it."""
    return {
        "namespace": list(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at.isoformat(),
        "updated_at": item.updated_at.isoformat(),
    }
