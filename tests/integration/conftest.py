"""Tables on both engines, with all that is in them, and a table that loses responses."""

import uuid
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from handler.bootstrap import create_table
from handler.errors import StorageUnavailable
from handler.storage.table import Item, Table
from tests.engines import Engine, moto_serialised


@pytest.fixture(scope="session")
def moto() -> Iterator[Engine]:
    """The engine that takes one request at a time, once for all tests."""
    with moto_serialised() as engine:
        yield engine


@pytest.fixture(scope="session")
def tables(request: pytest.FixtureRequest) -> Callable[[str], Table]:
    """One table on each engine, made when it is first asked for."""

    @cache
    def made(engine_fixture: str) -> Table:
        engine: Engine = request.getfixturevalue(engine_fixture)
        name = f"t-{uuid.uuid4().hex[:12]}"
        create_table(engine.dynamodb(), name)
        return Table(engine.dynamodb(), name)

    return made


@pytest.fixture(params=["moto", "engine"], ids=["moto", "ministack"])
def table(request: pytest.FixtureRequest, tables: Callable[[str], Table]) -> Table:
    """An empty table, on one engine and on the other."""
    table = tables(request.param)
    create_table(table.client, table.name)  # moto's state is the process's, and tests with a moto of their own reset it
    table.batch_delete([{name: item[name] for name in ("PK", "SK")} for item in everything(table)])
    return table


def everything(table: Table) -> list[Item]:
    """All items of a table, in one order."""
    pages = table.client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True)
    items: list[Item] = [dict(item) for page in pages for item in page["Items"]]
    return sorted(items, key=lambda item: (item["PK"]["S"], item["SK"]["S"]))


class LosesResponses(Table):
    """A table whose next writes take effect, but whose caller is told that they failed."""

    def __init__(self, table: Table) -> None:
        super().__init__(table.client, table.name)
        self.losses = 0

    def _call(self, operation: str, request: Any) -> dict[str, Any]:
        response = super()._call(operation, request)
        if self.losses and operation not in ("get_item", "query", "scan"):
            self.losses -= 1
            raise StorageUnavailable("the response was lost")
        return response
