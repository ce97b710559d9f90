"""Tables and savers for the checkpointer's contract, on either engine."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from handler.storage.table import Table
from tests.engines import Engine, ministack, moto_serialised

NewTable = Callable[[], Table]


@pytest.fixture(scope="session")
def moto_engine() -> Iterator[Engine]:
    with moto_serialised() as engine:
        yield engine


@pytest.fixture(scope="session")
def ministack_engine() -> Iterator[Engine]:
    with ministack() as engine:
        yield engine


@pytest.fixture(params=["moto", "ministack"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
    return found


@pytest.fixture
def new_table(engine: Engine) -> Iterator[NewTable]:
    """Makes empty tables on the engine, and drops them after the test."""
    yield from tables_on(engine)


@pytest.fixture
def new_moto_table(moto_engine: Engine) -> Iterator[NewTable]:
    """The same for tests that one engine is enough for."""
    yield from tables_on(moto_engine)


def tables_on(engine: Engine) -> Iterator[NewTable]:
    names: list[str] = []

    def make() -> Table:
        names.append(engine.create_table(f"ckpt-{uuid.uuid4().hex}"))
        return Table(engine.dynamodb(), names[-1])

    yield make
    for name in names:
        engine.dynamodb().delete_table(TableName=name)
