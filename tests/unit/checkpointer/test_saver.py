"""What a saver asks of the table: one item per super-step, nothing for what it knows, never an old answer."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from handler.errors import LeaseLost, PayloadTooLarge, StorageUnavailable
from handler.storage.checkpointer import DynamoDBSaver, StateCache, make_serde, records
from tests.unit.checkpointer.graphless import THREAD, Hand, RecordingTable, config_of, writes_of


@dataclass
class Order:
    """A type of the user's own."""

    number: int


class Pair(TypedDict, total=False):
    """A graph's state."""

    a: int
    b: int


def saver(table: RecordingTable, **options: Any) -> DynamoDBSaver:
    return DynamoDBSaver(table, **{"hold": 0, **options})


def test_a_super_step_is_one_request(table: RecordingTable) -> None:
    hand = Hand(saver(table, exclusive=True))
    hand.load()
    table.requests.clear()
    hand.put(messages=[HumanMessage("hello")])
    hand.put(messages=[HumanMessage("hello"), HumanMessage("again")])
    assert table.requests == ["put_item", "put_item"]


def test_a_warm_turn_reads_nothing(table: RecordingTable) -> None:
    cache = StateCache(1_000_000)
    first = Hand(saver(table, epoch=1, cache=cache))
    first.put(log=[1])
    first.put(log=[1, 2])
    table.requests.clear()
    second = Hand(saver(table, epoch=2, cache=cache, heads=first.saver.heads))
    found = second.load()
    assert found is not None
    assert found.checkpoint["channel_values"] == {"log": [1, 2]}
    second.put(log=[1, 2, 3])
    assert table.requests == ["put_item"]


def test_heads_that_moved_on_are_read(table: RecordingTable) -> None:
    cache = StateCache(1_000_000)
    first = Hand(saver(table, epoch=1, cache=cache))
    first.put(log=[1])
    elsewhere = Hand(saver(table, epoch=2))
    elsewhere.load()
    newest = elsewhere.put(log=[1, 2])
    found = Hand(saver(table, epoch=3, cache=cache, heads=elsewhere.saver.heads)).load()
    assert found is not None
    assert found.checkpoint["id"] == newest


def test_a_state_with_pending_writes_is_no_head(table: RecordingTable) -> None:
    hand = Hand(saver(table, epoch=1))
    hand.put(log=[1])
    assert hand.saver.heads == {"": 1}
    hand.write(("__interrupt__", "what now?"))
    assert hand.saver.heads == {}


def test_heads_say_nothing_about_other_threads(table: RecordingTable) -> None:
    cache = StateCache(1_000_000)
    other = Hand(saver(table, cache=cache), thread_id="other")
    other.put(log=["old"])
    behind = Hand(saver(table), thread_id="other")
    behind.load()
    behind.put(log=["new"])
    leased = saver(table, epoch=5, cache=cache, heads={"": 1})
    leased.get_tuple(config_of())
    found = Hand(leased, thread_id="other").read()
    assert found is not None
    assert found.checkpoint["channel_values"] == {"log": ["new"]}


def test_a_reader_sees_what_another_saver_has_just_put(table: RecordingTable) -> None:
    reader, writer = Hand(saver(table)), Hand(saver(table))
    for number in range(1, 30):
        newest = writer.put(log=list(range(number)))
        found = reader.read()
        assert found is not None
        assert found.checkpoint["id"] == newest
        assert found.checkpoint["channel_values"]["log"] == list(range(number))


def test_a_reader_that_knows_the_state_reads_only_what_is_new(table: RecordingTable) -> None:
    hand = Hand(saver(table))
    hand.put(text="x" * 300_000)
    reader = saver(table, cache=StateCache(1_000_000))
    reader.get_tuple(config_of())
    table.requests.clear()
    pages: list[int] = []
    query_page = table.query_page

    def counted(request: Any) -> Any:
        page = query_page(request)
        pages.append(len(page[0]))
        return page

    table.query_page = counted  # type: ignore[method-assign]
    assert reader.get_tuple(config_of()) is not None
    assert pages == [0]


def test_the_cost_of_a_super_step_does_not_grow_and_reading_is_bounded(table: RecordingTable) -> None:
    hand = Hand(saver(table, exclusive=True))
    log: list[str] = []
    for number in range(150):
        log.append(f"{number:04d}" * 64)
        hand.put(log=list(log))
    records = {item["SK"]["S"]: item for item in table.items() if item["SK"]["S"].startswith("C#")}
    full = [sk for sk, item in records.items() if item["d"] == {"N": "0"}]
    deltas = [len(item["b"]["B"]) for sk, item in sorted(records.items()) if sk not in full]
    assert len(full) < 15, "full records become rarer as the state grows"
    assert max(deltas) < 2 * min(deltas[10:])
    state = hand.saver._logs.log(THREAD, "").tail
    assert state is not None
    assert state.state is not None
    found = saver(table).get_tuple(config_of())
    assert found is not None
    assert found.checkpoint["channel_values"]["log"] == log
    assert state.state.weight <= 2 * state.state.size * state.state.ratio + 4096


def test_a_superseded_writer_is_told_and_nothing_of_it_is_left(table: RecordingTable) -> None:
    one, other = Hand(saver(table)), Hand(saver(table))
    one.put(log=[1])
    other.load()
    newest = other.put(log=[1, 2])
    with pytest.raises(LeaseLost):
        one.put(log=[1, "mine"] * 100_000)
    with pytest.raises(LeaseLost):
        one.saver.flush()
    found = one.load()
    assert found is not None
    assert found.checkpoint["id"] == newest
    one.saver.flush()
    assert len(table.sort_keys()) == 2


def test_a_lost_response_to_a_put_is_recognised_when_it_is_put_again(table: RecordingTable) -> None:
    hand = Hand(saver(table))
    hand.put(log=[1])
    table.lose = lambda operation: StorageUnavailable("no answer") if operation == "put_item" else None
    call = hand.call(log=[1, 2])
    with pytest.raises(StorageUnavailable):
        hand.saver.put(*call)
    table.lose = None
    stored = hand.saver.put(*call)
    assert stored["configurable"]["checkpoint_id"] == call[1]["id"]
    assert table.sort_keys() == ["C##0000000001", "C##0000000002"]


def test_a_fork_starts_with_a_full_record_and_leaves_its_origin_as_it_was(table: RecordingTable) -> None:
    hand = Hand(saver(table))
    first = hand.put(log=[1])
    second = hand.put(log=[1, 2])
    fork = Hand(saver(table))
    fork.load(first)
    branch = fork.put(log=[1, "branch"])
    assert fork.history() == [branch, second, first]
    values = {
        found.checkpoint["id"]: found.checkpoint["channel_values"]["log"] for found in fork.saver.list(config_of())
    }
    assert values == {first: [1], second: [1, 2], branch: [1, "branch"]}
    branched = next(item for item in table.items() if item["SK"]["S"] == "C##0000000003")
    assert branched["d"] == {"N": "0"}


def test_writes_without_a_following_put_are_an_item_per_task(table: RecordingTable) -> None:
    hand = Hand(saver(table))
    hand.put(log=[1])
    hand.write(("log", 2), ("text", "a"), task_id="one")
    hand.write(("log", 3), task_id="two")
    assert len(table.sort_keys()) == 3
    assert writes_of(Hand(saver(table)).read()) == [("log", 2), ("text", "a"), ("log", 3)]


async def test_writes_travel_with_the_put_that_follows_them(table: RecordingTable) -> None:
    hand = Hand(saver(table, hold=60))
    first = await asyncio.to_thread(hand.put, log=[1])
    assert hand.at is not None
    one = asyncio.create_task(hand.saver.aput_writes(hand.at, [("log", 2)], "one", "~b"))
    other = asyncio.create_task(hand.saver.aput_writes(hand.at, [("log", 3)], "other", "~a"))
    await asyncio.sleep(0)
    await asyncio.to_thread(hand.put, log=[1, 3, 2])
    await asyncio.gather(one, other)
    assert table.sort_keys() == ["C##0000000001", "C##0000000002"]
    found = await saver(table).aget_tuple(config_of(checkpoint_id=first))
    assert writes_of(found) == [("log", 3), ("log", 2)]
    listed = [found async for found in saver(table).alist(config_of())]
    assert [writes_of(found) for found in listed] == [[], [("log", 3), ("log", 2)]]


async def test_writes_that_come_before_their_checkpoint_wait_for_it(table: RecordingTable) -> None:
    hand = Hand(saver(table))
    await asyncio.to_thread(hand.load)
    call = hand.call(log=[1])
    early = asyncio.create_task(hand.saver.aput_writes(config_of(checkpoint_id=call[1]["id"]), [("log", 2)], "task"))
    await asyncio.sleep(0)
    assert table.sort_keys() == []
    await hand.saver.aput(*call)
    await early
    found = await asyncio.to_thread(Hand(saver(table)).read)
    assert writes_of(found) == [("log", 2)]


async def test_a_command_to_a_thread_without_state_waits_for_nothing(table: RecordingTable) -> None:
    builder = StateGraph(Pair)
    builder.add_node("node", lambda _state: Pair(b=2))
    builder.add_edge(START, "node")
    graph = builder.compile(checkpointer=saver(table))
    values = await asyncio.wait_for(graph.ainvoke(Command(update={"a": 1}), config_of()), timeout=20)
    assert values == {"a": 1, "b": 2}
    found = await asyncio.to_thread(Hand(saver(table)).read)
    assert writes_of(found) == []


async def test_flush_makes_held_writes_durable_at_once(table: RecordingTable) -> None:
    hand = Hand(saver(table, hold=3600))
    await asyncio.to_thread(hand.put, log=[1])
    assert hand.at is not None
    task = asyncio.create_task(hand.saver.aput_writes(hand.at, [("log", 2)], "task"))
    await asyncio.sleep(0)
    await hand.saver.aflush()
    await task
    assert writes_of(await asyncio.to_thread(Hand(saver(table)).read)) == [("log", 2)]


def test_a_large_state_is_chunked_and_comes_back_whole(table: RecordingTable) -> None:
    hand = Hand(saver(table))
    scrambled = random.Random(1).randbytes(1_500_000)
    hand.put(blob=scrambled, log=[1])
    hand.write(("blob", scrambled), task_id="big")
    assert any("#K#" in key for key in table.sort_keys())
    found = Hand(saver(table)).read()
    assert found is not None
    assert found.checkpoint["channel_values"] == {"blob": scrambled, "log": [1]}
    assert writes_of(found) == [("blob", scrambled)]


def test_a_state_that_is_too_large_is_refused_before_anything_is_written(
    table: RecordingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_BODY_BYTES", 10_000)
    hand = Hand(saver(table, exclusive=True))
    kept = hand.put(log=[1])
    table.requests.clear()
    with pytest.raises(PayloadTooLarge):
        hand.put(blob=b"".join(number.to_bytes(4, "big") for number in range(0, 2**31, 2**16)))
    assert "put_item" not in table.requests
    found = Hand(saver(table)).load()
    assert found is not None
    assert found.checkpoint["id"] == kept


def test_with_a_key_nothing_readable_is_in_the_table(table: RecordingTable) -> None:
    serde = make_serde(strict=True, allowed=(), aes_key=b"0123456789abcdef")
    hand = Hand(saver(table, serde=serde))
    for number in range(1, 4):
        hand.put(messages=[HumanMessage(f"swordfish {place}", id=str(place)) for place in range(number)])
    hand.write(("messages", "swordfish"))
    assert not any(b"swordfish" in item["b"]["B"] for item in table.items())
    assert {item["d"]["N"] for item in table.items() if "d" in item} == {"0", "1", "2"}
    found = Hand(saver(table, serde=serde)).read()
    assert found is not None
    assert [message.content for message in found.checkpoint["channel_values"]["messages"]][-1] == "swordfish 2"
    with pytest.raises(ValueError, match="no key"):
        Hand(saver(table)).read()


def test_the_serde_is_the_one_at_the_time_of_the_call(table: RecordingTable) -> None:
    strict = saver(table)
    Hand(strict).put(order=Order(7))
    allowing = strict.with_allowlist([(Order.__module__, "Order")])
    found, blocked = allowing.get_tuple(config_of()), strict.get_tuple(config_of())
    assert found is not None
    assert blocked is not None
    assert found.checkpoint["channel_values"] == {"order": Order(7)}
    assert blocked.checkpoint["channel_values"] == {"order": {"number": 7}}


def test_namespaces_do_not_see_each_other(table: RecordingTable) -> None:
    names = ["", "a", "a#b", "child:1", "child:10", "a|b:2"]
    hands = {name: Hand(saver(table), namespace=name) for name in names}
    ids = {name: hand.put(text=name) for name, hand in hands.items()}
    for name, hand in hands.items():
        assert hand.history() == [ids[name]]
    everything = saver(table).list({"configurable": {"thread_id": THREAD}})
    assert {found.checkpoint["id"] for found in everything} == set(ids.values())


def test_tenants_do_not_see_each_other(table: RecordingTable) -> None:
    Hand(saver(table, tenant="one")).put(text="theirs")
    assert Hand(saver(table, tenant="two")).read() is None
    assert list(saver(table, tenant="two", scans=True).list(None)) == []
    assert len(list(saver(table, tenant="one", scans=True).list(None))) == 1


async def test_what_would_read_the_whole_table_is_refused_by_name_unless_it_may(table: RecordingTable) -> None:
    refused = saver(table)
    with pytest.raises(NotImplementedError, match=r"^a list without config reads the whole table"):
        list(refused.list(None, limit=1))
    with pytest.raises(NotImplementedError, match=r"^delete_for_runs reads the whole table"):
        await refused.adelete_for_runs(["R"])
    assert table.requests == []
