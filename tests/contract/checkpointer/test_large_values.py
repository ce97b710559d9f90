"""States far beyond one item: chunks go before what points at them, and what cannot be stored leaves nothing behind."""

import random
from typing import Any

import pytest
from langgraph.checkpoint.base import create_checkpoint, empty_checkpoint

from handler.errors import PayloadTooLarge, StorageUnavailable
from handler.storage.checkpointer import DynamoDBSaver
from handler.storage.table import Item, Table
from tests.contract.checkpointer.conftest import NewTable
from tests.contract.checkpointer.faults import Fault, FaultyClient
from tests.contract.checkpointer.twin import thread_config

MEGABYTE = 1024 * 1024


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def put(saver: DynamoDBSaver, before: Any, value: Any) -> Any:
    """Append a super-step whose one channel has this value; returns (config, checkpoint) to go on from."""
    config, old = before or (thread_config("thread"), empty_checkpoint())
    checkpoint = create_checkpoint(old, None, 1)
    version = saver.get_next_version(checkpoint["channel_versions"].get("value"), None)  # type: ignore[arg-type]
    checkpoint["channel_values"] = {"value": value}
    checkpoint["channel_versions"] = {"value": version}
    made = saver.put(config, checkpoint, {"source": "loop", "step": 1, "parents": {}}, {"value": version})
    return made, checkpoint


def latest(saver: DynamoDBSaver) -> Any:
    found = saver.get_tuple(thread_config("thread"))
    return found and found.checkpoint["channel_values"]["value"]


def everything(table: Table) -> list[Item]:
    items: list[Item] = []
    start: dict[str, Any] = {}
    while True:
        page = table.client.scan(TableName=table.name, ConsistentRead=True, **start)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return items
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def test_ten_megabytes_come_back_whole(new_table: NewTable) -> None:
    table = new_table()
    value = {"head": "first", "bytes": noise(10 * MEGABYTE), "tail": [1, 2, 3]}
    writer = DynamoDBSaver(table)

    made = put(writer, None, value)
    again = put(writer, made, [noise(MEGABYTE, seed) for seed in range(10)])

    cold = DynamoDBSaver(table)
    found = cold.get_tuple(made[0])
    assert found
    assert found.checkpoint["channel_values"]["value"] == value
    assert latest(cold) == again[1]["channel_values"]["value"]
    sizes = [weight(item) for item in everything(table)]
    assert len(sizes) > 2 * 10 * MEGABYTE // (400 * 1024)
    assert max(sizes) < 400 * 1024


def test_ten_megabytes_of_pending_writes_come_back_whole(new_moto_table: NewTable) -> None:
    table = new_moto_table()
    writer = DynamoDBSaver(table)
    made = put(writer, None, "small")

    writer.put_writes(made[0], [("value", noise(10 * MEGABYTE)), ("other", 1)], "task", "path")
    writer.flush()

    found = DynamoDBSaver(table).get_tuple(made[0])
    assert found
    assert found.pending_writes == [("task", "value", noise(10 * MEGABYTE)), ("task", "other", 1)]


def test_a_list_that_grows_to_ten_megabytes_is_written_once(new_moto_table: NewTable) -> None:
    table = new_moto_table()
    writer = DynamoDBSaver(table)
    made = None
    elements: list[bytes] = []
    for seed in range(20):
        elements = [*elements, noise(MEGABYTE // 2, seed)]
        made = put(writer, made, elements)

    assert latest(DynamoDBSaver(table)) == elements
    assert sum(map(weight, everything(table))) < 4 * 10 * MEGABYTE


def weight(item: Item) -> int:
    """Bytes of an item's values."""
    return sum(len(value) for part in item.values() for value in part.values() if isinstance(value, str | bytes))


def test_a_value_over_the_limit_is_a_clear_error_and_leaves_nothing(new_moto_table: NewTable) -> None:
    table = new_moto_table()
    writer = DynamoDBSaver(table)
    made = put(writer, None, "small")
    before = everything(table)

    with pytest.raises(PayloadTooLarge, match=r"\d+"):
        put(writer, made, noise(40 * MEGABYTE))

    assert everything(table) == before
    assert latest(DynamoDBSaver(table)) == "small"
    put(writer, made, "smaller")
    assert latest(DynamoDBSaver(table)) == "smaller"


def test_pending_writes_over_the_limit_are_a_clear_error_and_leave_nothing(new_moto_table: NewTable) -> None:
    table = new_moto_table()
    writer = DynamoDBSaver(table)
    made = put(writer, None, "small")
    before = everything(table)

    def attempt() -> None:
        writer.put_writes(made[0], [("value", noise(40 * MEGABYTE))], "task", "path")
        writer.flush()

    with pytest.raises(PayloadTooLarge, match=r"\d+"):
        attempt()

    assert everything(table) == before


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.LOST])
def test_a_crash_at_any_request_of_a_chunked_put_leaves_a_whole_state(new_moto_table: NewTable, fault: Fault) -> None:
    table = new_moto_table()
    old, new = noise(MEGABYTE, 1), noise(MEGABYTE, 2)
    cuts = 0
    for at in range(1, 20):
        tenant = f"tenant-{at}"
        made = put(DynamoDBSaver(table, tenant=tenant), None, old)
        client = FaultyClient(table.client, fault, at)
        dying = DynamoDBSaver(Table(client, table.name), tenant=tenant)  # type: ignore[arg-type]
        latest(dying)
        client.armed = True
        try:
            put(dying, made, new)
        except StorageUnavailable:
            stored = latest(DynamoDBSaver(table, tenant=tenant))
            record = client.seen[-1:] == ["put_item"] and at == len(client.seen)
            assert stored == old or (fault is Fault.LOST and record and stored == new)
            put(DynamoDBSaver(table, tenant=tenant), made, "after")
            assert latest(DynamoDBSaver(table, tenant=tenant)) == "after"
            cuts += 1
        if not client.happened:
            break
    assert cuts >= 4
