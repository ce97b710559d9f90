"""The checkpointer: an append log per thread namespace, fenced, whose cost does not grow with the conversation."""

from handler.storage.checkpointer.cache import StateCache
from handler.storage.checkpointer.codec import make_serde
from handler.storage.checkpointer.saver import DynamoDBSaver

__all__ = ["DynamoDBSaver", "StateCache", "make_serde"]
