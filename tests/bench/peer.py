"""Measures langgraph-checkpoint-aws under workload W, where it is installed; prints JSON."""

import asyncio
import json
import os
import sys
import uuid
from functools import partial
from typing import Any

from langgraph_checkpoint_aws import DynamoDBSaver  # type: ignore[import-not-found]

from tests.bench.metering import Meter
from tests.bench.workload import CONFIG, Workload, chat, line, measure
from tests.engines import REGION, Engine, moto_serialised

TURNS = 80
"""Its state outgrows an item before turn 80."""

ROWS = {
    "async": Workload(TURNS),
    "async, gzip": Workload(60),
    "exit": Workload(60, durability="exit"),
}


def peer(engine: Engine, meter: Meter) -> dict[str, Any]:
    """Measure it in every way."""
    os.environ.update(engine.environment)
    rows: dict[str, Any] = {}
    for name, workload in ROWS.items():
        print(f"  langgraph-checkpoint-aws, {name} …", file=sys.stderr)
        meter.on = False
        saver = DynamoDBSaver(
            table_name=engine.create_table(f"peer-{uuid.uuid4().hex}"),
            region_name=REGION,
            endpoint_url=engine.endpoint_url,
            enable_checkpoint_compression="gzip" in name,
        )
        rows[name] = asyncio.run(row(meter, saver, workload))
    return {"rows": rows}


async def row(meter: Meter, saver: Any, workload: Workload) -> dict[str, Any]:
    measured = await workload.run(meter, saver)
    cold = await measure(meter, partial(chat(saver).aget_state, CONFIG))
    return {"turns": [line(bill) for bill in measured.turns], "ended": measured.ended, "cold": line(cold)}


def main() -> None:
    """Measure, and print."""
    meter = Meter()
    with moto_serialised(wrap=meter) as engine:
        json.dump(peer(engine, meter), sys.stdout)


if __name__ == "__main__":
    main()
