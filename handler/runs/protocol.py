"""The events of a thread's runs as LangGraph's thread-wide streaming protocol has them, and who wants which.

What a run has emitted becomes events of `method`, `namespace` and `data`; the beginning and the end of the run, its
subgraphs and its interrupts are told as well:

| the run                       | told as                                                                          |
|-------------------------------|----------------------------------------------------------------------------------|
| emits its first event         | `lifecycle` of the root: `running`                                               |
| stops for a human             | `input.requested` for each interrupt, then `lifecycle` of the root: `interrupted` |
| enters or leaves a subgraph   | `lifecycle` of its namespace: `started`, `completed`, `failed`, `interrupted`      |
| ends                          | `lifecycle` of the root: `completed`, `failed` with its error, `interrupted`       |

A run that was not started by the protocol has its values, updates and custom data told, of what it streams at all.

`seq` orders the events of a thread, whoever drove its runs; it is worked out of an event's place, so that every reader
finds the same. Epochs grow from run to run and from driver to driver by the milliseconds that pass between them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from handler.domain.events import BEFORE_ALL, Event, EventId
from handler.domain.models import JsonObject, Run, to_ms
from handler.domain.status import RunStatus
from handler.runs.outcome import INTERRUPT

CHANNELS = frozenset({"values", "updates", "checkpoints", "messages", "tools", "custom", "lifecycle", "input", "tasks"})
"""What can be subscribed to, besides `custom:name`."""

EPOCH_ZERO = 1_577_836_800_000
"""2020-01-01 in milliseconds: `seq` counts from there, to stay within what JavaScript counts exactly until 2089."""

SEQS_PER_MS = 4096
"""How far an epoch moves `seq`."""

SEQS_PER_EVENT = 16
"""How many events of the protocol one event of a run may become with a `seq` of its own."""

ENDED_AS = {
    RunStatus.SUCCESS: "completed",
    RunStatus.ERROR: "failed",
    RunStatus.TIMEOUT: "failed",
    RunStatus.INTERRUPTED: "interrupted",
}
"""The root's last `lifecycle`, by the run's end."""

SUBGRAPH_ENDS = frozenset({"completed", "failed", "interrupted"})

ProtocolEvent = JsonObject


def seq_of(place: EventId, nth: int = 0) -> int:
    """The `seq` of the nth event that the event at a place becomes."""
    count = place.number * SEQS_PER_EVENT + min(nth, SEQS_PER_EVENT - 1)
    return (place.epoch - EPOCH_ZERO) * SEQS_PER_MS + count


def place_of(ended: Run, last: EventId) -> EventId:
    """The place of a run's last event; that of one without any is worked out of when it ended."""
    return last if last != BEFORE_ALL else EventId(to_ms(ended.ended_at or ended.updated_at), 0)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which events somebody wants."""

    channels: frozenset[str]
    namespaces: tuple[tuple[str, ...], ...] = ()
    """Below one of these; none: everywhere."""
    depth: int | None = None
    """At most so far below them."""
    since: int | None = None
    """Only what has a higher `seq`."""

    def wants(self, event: ProtocolEvent) -> bool:
        """Whether an event is among what was asked for."""
        if self.since is not None and event["seq"] <= self.since:
            return False
        params = event["params"]
        channel = "input" if event["method"] == "input.requested" else event["method"]
        named = f"custom:{params['data'].get('name')}" if channel == "custom" else channel
        if not {channel, named} & self.channels:
            return False
        namespace = params["namespace"]
        return not self.namespaces or any(self._is_below(namespace, prefix) for prefix in self.namespaces)

    def _is_below(self, namespace: Sequence[str], prefix: Sequence[str]) -> bool:
        """Whether a namespace begins so, and is not too deep; a segment without a task's id stands for any task."""
        if len(prefix) > len(namespace):
            return False
        same = all(
            part == asked or (":" not in asked and part.partition(":")[0] == asked)
            for asked, part in zip(prefix, namespace, strict=False)
        )
        return same and (self.depth is None or len(namespace) - len(prefix) <= self.depth)


@dataclass
class Telling:
    """Tells the events of one run, from its first one on."""

    run: Run
    last: EventId = BEFORE_ALL
    """The last event that was told."""
    stopped: bool = False
    """Whether the run has stopped for a human."""
    _interrupts: set[str] = field(default_factory=set)
    _subgraphs: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether there was anything to tell."""
        return self.last != BEFORE_ALL

    def tell(self, event: Event) -> list[ProtocolEvent]:
        """What an event of the run becomes."""
        begins = not self.begun
        self.last = event.id
        told = [*([self._root("running")] if begins else ()), *self._told(event)]
        for nth, one in enumerate(told):
            one["seq"] = seq_of(event.id, nth)
            one["event_id"] = f"{event.id}.{nth}" if nth else str(event.id)
        return told

    def end(self, run: Run) -> list[ProtocolEvent]:
        """What there is to tell at the run's end; a run that stopped for a human has told it."""
        told = [
            self._lifecycle(namespace, {"event": "completed", "graph_name": name})
            for namespace, name in sorted(self._subgraphs.items(), key=lambda open_: -len(open_[0]))
        ]
        if not (self.stopped and run.status is RunStatus.SUCCESS):
            error = {"error": str(run.error["message"])} if run.error else {}
            told.append(self._root(ENDED_AS[run.status], error, to_ms(run.ended_at or run.updated_at)))
        last = place_of(run, self.last)
        place = EventId(last.epoch, last.number + 1)
        for nth, one in enumerate(told):
            one["seq"] = seq_of(place, nth)
            one["event_id"] = f"{self.run.run_id}-end-{nth}"
        return told

    def _told(self, event: Event) -> Iterator[ProtocolEvent]:
        name, *namespace = event.name.split("|")
        data = from_json(event.data)
        if isinstance(data, dict) and data.get("type") == "event":
            params = data["params"]
        elif name in ("values", "updates", "custom", "tasks"):
            params = {"namespace": namespace, "timestamp": event.id.epoch, "data": data}
        else:
            return
        yield from self._of_method(name, params)

    def _of_method(self, method: str, params: JsonObject) -> Iterator[ProtocolEvent]:
        interrupts = params.pop("interrupts", None) or ()
        data = params["data"]
        if method == "lifecycle":
            yield from self._of_subgraph(params)
        elif method == "updates":
            for node, values in data.items() if isinstance(data, dict) else ():
                if node == INTERRUPT:
                    yield from self._requested(params, values)
                else:
                    yield _event(method, {**params, "data": {"node": node, "values": values}, "node": node})
        elif method == "values":
            found = [*interrupts, *(data.get(INTERRUPT) or () if isinstance(data, dict) else ())]
            yield from self._requested(params, found)
            if isinstance(data, dict):
                data = {name: value for name, value in data.items() if name != INTERRUPT}
            yield _event(method, {**params, "data": data})
        elif method == "custom":
            yield _event(method, {**params, "data": {"payload": data}})
        elif method.startswith("custom:"):
            name = method.removeprefix("custom:")
            yield _event("custom", {**params, "data": {"name": name, "payload": data}})
        elif method in CHANNELS:
            yield _event(method, params)

    def _requested(self, params: JsonObject, interrupts: Sequence[JsonObject]) -> Iterator[ProtocolEvent]:
        """The interrupts that were not told before, and that the run stops for them."""
        new = [one for one in interrupts if one["id"] not in self._interrupts]
        for one in new:
            self._interrupts.add(one["id"])
            # The protocol says payload; the Python SDK reads value.
            asked = {"interrupt_id": one["id"], "payload": one.get("value"), "value": one.get("value")}
            yield _event("input.requested", {**params, "data": asked})
        if new and not self.stopped:
            self.stopped = True
            yield self._root("interrupted", at_ms=params["timestamp"])

    def _of_subgraph(self, params: JsonObject) -> Iterator[ProtocolEvent]:
        data, namespace = params["data"], tuple(params["namespace"])
        if data["event"] == "started" and namespace not in self._subgraphs:
            self._subgraphs[namespace] = data.get("graph_name") or namespace[-1].partition(":")[0]
            yield _event("lifecycle", params)
        elif data["event"] in SUBGRAPH_ENDS and namespace in self._subgraphs:
            ended = {**data, "graph_name": self._subgraphs.pop(namespace)}
            yield _event("lifecycle", {**params, "data": ended})

    def _root(self, status: str, more: Mapping[str, Any] | None = None, at_ms: int | None = None) -> ProtocolEvent:
        return self._lifecycle((), {"event": status, "graph_name": self.run.graph_id, **(more or {})}, at_ms)

    def _lifecycle(self, namespace: Sequence[str], data: JsonObject, at_ms: int | None = None) -> ProtocolEvent:
        timestamp = at_ms if at_ms is not None else self.last.epoch
        return _event("lifecycle", {"namespace": list(namespace), "timestamp": timestamp, "data": data})


def _event(method: str, params: JsonObject) -> ProtocolEvent:
    return {"type": "event", "event_id": "", "seq": 0, "method": method, "params": params}
