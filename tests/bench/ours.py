"""Measures our checkpointer under workload W; prints JSON."""

import asyncio
import json
import random
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import create_checkpoint, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer import DynamoDBSaver
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.state import change_channel
from handler.storage.table import Table
from tests.bench.metering import Meter, item_size
from tests.bench.workload import CONFIG, MESSAGE_BYTES, THREAD, Workload, chat, line, measure, prose
from tests.engines import Engine, moto_serialised

TURNS = 200
ROWS = {
    "async, nodes of 20 ms": Workload(TURNS, node_ms=20),
    "sync, nodes of 20 ms": Workload(TURNS, node_ms=20, durability="sync"),
    "async, instant nodes": Workload(TURNS),
    "exit": Workload(TURNS, durability="exit"),
}


def ours(engine: Engine, meter: Meter) -> dict[str, Any]:
    """Measure our saver in every way."""
    rows = {}
    for name, workload in ROWS.items():
        print(f"  ours, {name} …", file=sys.stderr)
        rows[name] = asyncio.run(ours_row(engine, meter, workload))
    return {"rows": rows, "cpu": cpu_ratios()}


async def ours_row(engine: Engine, meter: Meter, workload: Workload) -> dict[str, Any]:

    table = Table(engine.dynamodb(), engine.create_table(f"ours-{uuid.uuid4().hex}"))
    saver = DynamoDBSaver(table, exclusive=True)
    result: dict[str, Any] = {"turns": [], "after": {}}
    done = 0
    for stop in sorted({60, workload.turns}):
        measured = await replace(workload, turns=stop).run(meter, saver, done)
        if measured.ended:
            raise RuntimeError(measured.ended)
        for bill in measured.turns:
            full = [item for item in bill.put if item.get(statements.BASE) == {"N": "0"}]
            result["turns"].append(line(bill, snapshot=bool(full)))
        done = stop
        result["after"][stop] = await reads(meter, table, saver)
    copy = "00000000-0000-4000-8000-000000000060"
    await replace(workload, turns=60, thread=copy).run(meter, DynamoDBSaver(table, exclusive=True))
    deleted = await measure(meter, lambda: DynamoDBSaver(table).adelete_thread(copy))
    left = [item for item in meter.everything() if copy in item["PK"]["S"]]
    result["delete"] = {**line(deleted), "left": len(left), "tombstones": sum(statements.KIND in item for item in left)}
    meter.on = False
    engine.dynamodb().delete_table(TableName=table.name)
    return result


async def reads(meter: Meter, table: Any, saver: Any) -> dict[str, Any]:
    """Cold and warm state, cold history, and the stored size of the state alone."""

    cold = await measure(meter, lambda: chat(DynamoDBSaver(table), 0).aget_state(CONFIG))
    warm = await measure(meter, lambda: chat(saver, 0).aget_state(CONFIG))

    async def ten() -> None:
        states = [state async for state in chat(DynamoDBSaver(table), 0).aget_state_history(CONFIG, limit=10)]
        if len(states) != 10:
            raise AssertionError(f"{len(states)} states")

    history = await measure(meter, ten)
    meter.on = False
    alone = str(uuid.uuid4())
    keeper = DynamoDBSaver(table)
    keeper.copy_thread(THREAD, alone)
    keeper.prune([alone], strategy="keep_latest")
    size = sum(
        item_size(item) for item in meter.everything() if alone in item["PK"]["S"] and "#W#" not in item["SK"]["S"]
    )
    keeper.delete_thread(alone)
    return {
        "cold": line(cold),
        "warm": line(warm),
        "history": {**line(history), "received": history.received},
        "state_bytes": size,
    }


class NoRequests(Table):
    """A table whose requests go nowhere and find nothing."""

    def put(self, request: Any) -> None:
        """Go nowhere."""

    def get(self, request: Any) -> None:
        """Nothing is there."""

    def query_page(self, request: Any) -> tuple[list[Any], None]:
        """Find nothing."""
        return [], None


def cpu_ratios() -> dict[str, float]:
    """CPU of our put, without the request, over that of LangGraph's serde alone, for a state of 100 KB."""
    source = random.Random(3)
    serde = JsonPlusSerializer()
    usage = {"input_tokens": 1000, "output_tokens": 250, "total_tokens": 1250}

    def message(name: str) -> AIMessage:
        return AIMessage(prose(source, MESSAGE_BYTES), id=name, usage_metadata=usage)

    messages = [message(str(number)) for number in range(75)]
    theirs = least(lambda: timed(20, lambda: serde.dumps_typed(messages)))

    def next_ones(count: int) -> float:
        saver = new_saver()
        parent = put(saver, None, messages)
        new = [message(f"new-{number}") for number in range(count)]
        states = [[*messages, *new[: number + 1]] for number in range(count)]
        started = time.process_time()
        for state in states:
            parent = put(saver, parent, state)
        return (time.process_time() - started) / count

    nexts = least(lambda: next_ones(20))
    first = least(lambda: timed(5, lambda: put(new_saver(), None, messages)))
    codec = Codec(new_saver().serde)
    stored, whole = change_channel(codec, None, messages)
    longer = [*messages, message("new")]
    return {
        "state_kb": len(serde.dumps_typed(messages)[1]) / 1024,
        "serde_ms": theirs * 1000,
        "bytes_ratio": least(lambda: timed(20, lambda: codec.seal(change_channel(codec, stored, longer)[1]))) / theirs,
        "full_bytes_ratio": least(lambda: timed(20, lambda: codec.seal(change_channel(codec, None, messages)[1])))
        / theirs,
        "snapshot_ratio": least(lambda: timed(20, lambda: codec.seal(whole))) / theirs,
        "next_ratio": nexts / theirs,
        "first_ratio": first / theirs,
    }


def new_saver() -> DynamoDBSaver:
    return DynamoDBSaver(NoRequests(None, "none"), exclusive=True)  # type: ignore[arg-type]


def put(saver: DynamoDBSaver, parent: Any, value: list[Any]) -> Any:
    """Append a super-step whose one channel has this value; returns what the next one goes on from."""
    before: Any
    config, before = parent or (CONFIG, empty_checkpoint())
    config["configurable"].setdefault("checkpoint_ns", "")
    checkpoint = create_checkpoint(before, None, 1)
    version = saver.get_next_version(before["channel_versions"].get("messages"), None)
    checkpoint["channel_versions"] = {"messages": version}
    checkpoint["channel_values"] = {"messages": value}
    metadata: Any = {"source": "loop", "step": 1, "parents": {}}
    return saver.put(config, checkpoint, metadata, {"messages": version}), checkpoint


def timed(repeats: int, work: Callable[[], Any]) -> float:
    """CPU seconds of a call, on average."""
    started = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - started) / repeats


def least(measure_once: Callable[[], float]) -> float:
    """The least of some measurements: what disturbs them only adds."""
    return min(measure_once() for _ in range(7))


def main() -> None:
    """Measure, and print."""
    meter = Meter()
    with moto_serialised(wrap=meter) as engine:
        json.dump(ours(engine, meter), sys.stdout)


if __name__ == "__main__":
    main()
