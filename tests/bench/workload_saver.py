"""What the checkpoint workload measures: our saver as a driver uses it, alone on its thread."""

from typing import Any

from handler.storage.checkpointer import DynamoDBSaver
from handler.storage.table import Table


async def make_saver(env: Any) -> DynamoDBSaver:
    """A saver on a fresh table of the workload's server; `env` is documented there."""
    env.create_table("checkpoints")
    return DynamoDBSaver(Table(env.client, "checkpoints"), exclusive=True)
