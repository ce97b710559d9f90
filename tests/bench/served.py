"""Workload W as a server runs it: one graph for all turns, whose texts go on, with a saver of the server's."""

from tests.bench.workload import chat

graph = chat(None, node_ms=20)
