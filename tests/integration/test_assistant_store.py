"""Assistants in DynamoDB: no change is lost, none is applied twice, a deletion is carried to its end."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handler.domain.models import Assistant
from handler.errors import StorageUnavailable, SystemAssistant
from handler.storage import keys
from handler.storage.assistants import DynamoDBAssistants
from handler.storage.table import Table
from tests.engines import Engine
from tests.integration.conftest import LosesResponses, everything

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
ONE = Assistant("A1", "log", "one", NOW, NOW, {"configurable": {"a": 1}}, {"a": 1}, {"k": "ü"}, description="d")
GRAPHS: dict[str, str | None] = {"log": None, "human": "asks"}


def over(table: Table) -> DynamoDBAssistants:
    """The store over a table, with two graphs."""
    return DynamoDBAssistants(table, GRAPHS, NOW)


def noting(name: str) -> Callable[[Assistant], Assistant]:
    """A change that adds to the metadata."""
    return lambda assistant: replace(assistant, metadata={**assistant.metadata, name: True})


@pytest.fixture
def assistants(table: Table) -> DynamoDBAssistants:
    return over(table)


def test_an_assistant_comes_back_as_it_was_stored(assistants: DynamoDBAssistants) -> None:
    assert assistants.create("acme", ONE)
    assert assistants.get("acme", "A1") == ONE
    assert list(assistants.versions("acme", "A1")) == [ONE]
    assert assistants.get("globex", "A1") is None
    assert not assistants.create("acme", replace(ONE, name="two"))
    assert assistants.get("acme", "A1") == ONE


def test_a_change_puts_a_new_version_in_force(assistants: DynamoDBAssistants) -> None:
    assistants.create("acme", ONE)
    changed = assistants.change("acme", "A1", noting("x"), LATER)
    assert changed == replace(ONE, metadata={"k": "ü", "x": True}, version=2, newest=2, revision=2, updated_at=LATER)
    assert assistants.get("acme", "A1") == changed
    assert [one.version for one in assistants.versions("acme", "A1")] == [2, 1]


def test_after_an_earlier_version_the_next_number_is_still_new(assistants: DynamoDBAssistants) -> None:
    assistants.create("acme", ONE)
    assistants.change("acme", "A1", noting("x"), LATER)
    restored = assistants.set_version("acme", "A1", 1, LATER)
    assert restored == replace(ONE, newest=2, revision=3, updated_at=LATER)
    following = assistants.change("acme", "A1", noting("y"), LATER)
    assert following is not None
    assert (following.version, following.metadata) == (3, {"k": "ü", "y": True})
    assert assistants.set_version("acme", "A1", 9, LATER) is None


def test_changes_at_once_all_take_effect(engine: Engine, tables: Callable[[str], Table]) -> None:
    table = tables("engine")
    assistants = over(table)
    assistants.delete("acme", "A1")
    assistants.create("acme", ONE)

    def change(number: int) -> Assistant | None:
        if number % 4 == 3:
            return assistants.set_version("acme", "A1", 1, LATER)
        return assistants.change("acme", "A1", noting(f"n{number}"), LATER)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(change, range(16)))
    current = assistants.get("acme", "A1")
    assert current is not None
    assert None not in results
    versions = assistants.versions("acme", "A1")
    assert [one.version for one in versions] == list(range(13, 0, -1))
    assert (current.newest, current.revision) == (13, 17)
    assert all(f"n{number}" in str([one.metadata for one in versions]) for number in range(16) if number % 4 != 3)


def test_a_lost_response_does_not_make_a_version_twice(table: Table) -> None:
    losing = LosesResponses(table)
    assistants = over(losing)
    assistants.create("acme", ONE)
    losing.losses = 1
    with pytest.raises(StorageUnavailable):
        assistants.change("acme", "A1", noting("x"), LATER)
    assert [one.version for one in assistants.versions("acme", "A1")] == [2, 1]
    current = assistants.get("acme", "A1")
    assert current is not None
    assert (current.version, current.newest) == (2, 2)


def test_a_deletion_leaves_nothing_and_frees_the_id(assistants: DynamoDBAssistants) -> None:
    assistants.create("acme", ONE)
    for _ in range(30):
        assistants.change("acme", "A1", noting("x"), LATER)
    assert assistants.delete("acme", "A1")
    assert everything(assistants.table) == []
    assert not assistants.delete("acme", "A1")
    assert assistants.create("acme", ONE)
    assert len(assistants.versions("acme", "A1")) == 1


@pytest.mark.parametrize("finisher", ["delete", "create"])
def test_a_deletion_that_was_cut_short_is_finished_by_the_next(finisher: str, assistants: DynamoDBAssistants) -> None:
    assistants.create("acme", ONE)
    assistants.change("acme", "A1", noting("x"), LATER)
    failing: Any = DynamoDBAssistants(assistants.table, GRAPHS, NOW)
    failing._finish_deletion = lambda *_: None
    assert failing.delete("acme", "A1")
    assert assistants.get("acme", "A1") is None
    assert [one.name for one in assistants.list("acme")] == ["log", "human"]
    assert assistants.change("acme", "A1", noting("y"), LATER) is None
    if finisher == "delete":
        assert not assistants.delete("acme", "A1")
        assert everything(assistants.table) == []
    else:
        assert assistants.create("acme", replace(ONE, name="anew"))
        assert [one.name for one in assistants.versions("acme", "A1")] == ["anew"]


def test_a_tenants_assistants_are_listed_over_pages_of_a_megabyte(assistants: DynamoDBAssistants) -> None:
    bulky = {"text": "".join(f"{number:08x}" for number in range(60_000))}
    for number in range(6):
        assistants.create("acme", replace(ONE, assistant_id=f"A{number}", config=bulky))
    assert [one.name for one in assistants.list("acme")] == ["log", "human", *["one"] * 6]
    assert len(assistants.list("globex")) == 2


def test_an_assistant_whose_graph_is_gone_is_not_there(table: Table) -> None:
    over(table).create("acme", ONE)
    later = DynamoDBAssistants(table, {"human": None}, NOW)
    assert later.get("acme", "A1") is None
    assert [one.name for one in later.list("acme")] == ["human"]


def test_a_system_assistant_is_everybodys_and_nobody_changes_it(assistants: DynamoDBAssistants) -> None:
    (system, _) = assistants.list("acme")
    assert assistants.get("globex", system.assistant_id) == system
    with pytest.raises(SystemAssistant):
        assistants.change("acme", system.assistant_id, noting("x"), LATER)
    with pytest.raises(SystemAssistant):
        assistants.delete("acme", system.assistant_id)
    assert everything(assistants.table) == []
    assert keys.assistants_pk("a#b") != keys.assistants_pk("a") + "#b"
