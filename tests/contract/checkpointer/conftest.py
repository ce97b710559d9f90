"""Tables and savers for the checkpointer's contract, on either engine."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from handler.storage.table import Table
from tests.engines import Engine, moto_serialised

NewTable = Callable[[], Table]


@pytest.fixture(scope="session")
def moto_engine() -> Iterator[Engine]:
    with moto_serialised() as serialised:
        yield serialised


@pytest.fixture(params=["moto_engine", "engine"], ids=["moto", "ministack"])
def either_engine(request: pytest.FixtureRequest) -> Engine:
    """One engine after the other."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def new_table(either_engine: Engine) -> Iterator[NewTable]:
    """Makes empty tables on either engine, and drops them after the test."""
    yield from tables_on(either_engine)


@pytest.fixture
def new_moto_table(moto_engine: Engine) -> Iterator[NewTable]:
    """The same for tests that one engine is enough for."""
    yield from tables_on(moto_engine)


@pytest.fixture
def new_atomic_table(engine: Engine) -> Iterator[NewTable]:
    """The same on the engine that is both atomic and fast."""
    yield from tables_on(engine)


def tables_on(engine: Engine) -> Iterator[NewTable]:
    names: list[str] = []

    def make() -> Table:
        names.append(engine.create_table(f"ckpt-{uuid.uuid4().hex}"))
        return Table(engine.dynamodb(), names[-1])

    yield make
    for name in names:
        engine.dynamodb().delete_table(TableName=name)
