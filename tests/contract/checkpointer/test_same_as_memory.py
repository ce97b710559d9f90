"""Whatever is done to a thread, its state and its history are what LangGraph's InMemorySaver would show."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.base import create_checkpoint, empty_checkpoint
from langgraph.errors import EmptyInputError, InvalidUpdateError
from langgraph.types import Command

from handler.storage.checkpointer import DynamoDBSaver
from handler.storage.table import Table
from tests.contract.checkpointer.conftest import NewTable
from tests.contract.checkpointer.kitchen import Order, Spill, kitchen
from tests.contract.checkpointer.twin import Oracle, Twin, differing, thread_config

EXAMPLES = int(os.environ.get("CHECKPOINTER_EXAMPLES", "20"))
"""How many programs each property runs; set it to hundreds for a night."""

bounded = settings(
    max_examples=EXAMPLES,
    derandomize="CHECKPOINTER_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


# ---------------------------------------------------------------- programs over graphs


@dataclass(frozen=True)
class Invoke:
    """Give the graph an input; `at` counts checkpoints back from the latest, to fork there."""

    orders: tuple[Order, ...]
    thread: int = 0
    at: int | None = None
    durability: str = "async"
    asynchronous: bool = False


@dataclass(frozen=True)
class GoOn:
    """Invoke without input: go on after a failure, or do an old step again."""

    thread: int = 0
    at: int | None = None
    durability: str = "async"
    asynchronous: bool = False


@dataclass(frozen=True)
class Answer:
    """Resume the first `count` of the questions that wait."""

    count: int
    value: Any
    thread: int = 0
    durability: str = "async"
    asynchronous: bool = False


@dataclass(frozen=True)
class Update:
    """Write state from outside, at the latest or at an old checkpoint."""

    values: dict[str, Any] | None
    as_node: str
    thread: int = 0
    at: int | None = None


@dataclass(frozen=True)
class Delete:
    thread: int = 0


@dataclass(frozen=True)
class Copy:
    thread: int = 0


@dataclass(frozen=True)
class Restart:
    """Go on in a process that has seen nothing."""


@dataclass(frozen=True)
class Look:
    """Read state and history, then spoil the objects that were handed out."""

    thread: int = 0
    limit: int | None = None
    before: int | None = None
    source: str | None = None


Step = Invoke | GoOn | Answer | Update | Delete | Copy | Restart | Look

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.floats(allow_nan=False, width=32),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.just(datetime(2026, 1, 2, 3, tzinfo=UTC)),
    st.just(UUID(int=7)),
    st.sets(st.integers(0, 3), max_size=2),
    st.tuples(st.integers(0, 1)),
    st.integers(1, 4).map(lambda n: f"{n}" * 700 * n),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "é#"]), inner, max_size=2),
    max_leaves=4,
)
lists = st.lists(values, max_size=4)
index = st.integers(0, 5)
names = st.sampled_from(["m1", "m2", "m3", "m4", "m5", "m6"])
inner_orders = st.sampled_from([(), (), (("ask",),), (("spill",),)])

writes = st.one_of(
    st.tuples(st.just("say"), names, st.text(max_size=5)),
    st.tuples(st.just("edit"), index, st.text(max_size=5)),
    st.tuples(st.just("edit_in_place"), index, st.text(max_size=5)),
    st.tuples(st.just("drop"), index),
    st.just(("clear",)),
    st.tuples(st.just("log"), values),
    st.tuples(st.just("log_in_place"), values),
    st.tuples(st.just("queue"), lists),
    st.tuples(st.just("box"), values),
    st.tuples(st.just("trail"), lists),
    st.tuples(st.just("tally"), st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2)),
    st.tuples(st.just("bell"), st.lists(st.integers(0, 3), max_size=2)),
    st.tuples(st.just("scratch"), st.integers(0, 3)),
    st.tuples(st.just("overwrite"), st.sampled_from(["log", "trail", "queue"]), lists).filter(
        lambda order: order[1] != "queue"
    ),
)
calls = st.one_of(
    st.tuples(st.just("fan"), st.sampled_from([1, 2, 3, 12]), st.integers(0, 2), st.booleans()),
    inner_orders.map(lambda inner: ("corner", *inner)),
    inner_orders.map(lambda inner: ("pantry", *inner)),
    st.just(("spill",)),
)
orders = st.builds(
    lambda some, more: (*some, *more),
    st.lists(writes, max_size=4),
    st.lists(calls, max_size=2, unique_by=lambda c: c[0]),
)
thread = st.integers(0, 2)
at = st.none() | st.none() | st.integers(0, 6)
mode: dict[str, Any] = {
    "thread": thread,
    "durability": st.sampled_from(["async", "async", "sync", "exit"]),
    "asynchronous": st.booleans(),
}
steps = st.one_of(
    st.builds(Invoke, orders, at=at, **mode),
    st.builds(Invoke, orders, at=at, **mode),
    st.builds(Invoke, orders, at=st.none(), **mode),
    st.builds(GoOn, at=at, **mode),
    st.builds(Answer, st.integers(1, 3), values, **mode),
    st.builds(
        Update,
        st.fixed_dictionaries(
            {}, optional={"log": lists, "queue": lists, "box": values, "trail": lists, "tally": st.just({"u": 1})}
        ),
        st.sampled_from(["obey", "worker", "corner", "__input__", "pantry"]),
        thread=thread,
        at=at,
    ),
    st.builds(Update, st.none(), st.sampled_from(["__copy__", "__end__"]), thread=thread, at=at),
    st.builds(Delete, thread),
    st.builds(Copy, thread),
    st.just(Restart()),
    st.builds(
        Look, thread, limit=st.none() | st.integers(0, 3), before=at, source=st.sampled_from([None, "loop", "update"])
    ),
)

EXPECTED = (Spill, InvalidUpdateError, EmptyInputError)
"""What LangGraph or the graph itself raises on some programs, whatever the saver."""


@dataclass
class Kitchens:
    """Runs a program on a saver."""

    saver: Any
    loop: asyncio.Runner
    threads: list[str] = field(default_factory=lambda: ["thread-1", "thread-2"])
    answered: int = 0
    """Questions that have got an answer."""
    restart: Callable[[], None] = lambda: None
    after: Callable[[str], None] = lambda _step: None

    def perform(self, program: Sequence[Step]) -> None:
        for number, step in enumerate(program):
            self.graph = kitchen(self.saver)
            with contextlib.suppress(*EXPECTED):
                self.take(step)
            self.after(f"after step {number}, {step}")

    def take(self, step: Step) -> None:
        match step:
            case Invoke():
                given = {"orders": list(step.orders), "log": [len(step.orders)], "messages": [("human", "hello")]}
                self.invoke(given, step)
            case GoOn():
                self.invoke(None, step)
            case Answer():
                state = self.graph.get_state(self.config(step.thread))
                waiting = [asked.id for asked in state.interrupts][: step.count]
                self.answered += len(waiting)
                if waiting:
                    self.invoke(Command(resume=dict.fromkeys(waiting, step.value)), step)
            case Update():
                self.graph.update_state(self.config(step.thread, step.at), step.values, as_node=step.as_node)
            case Delete():
                self.saver.delete_thread(self.name(step.thread))
            case Copy():
                self.threads.append(f"copy-{len(self.threads)}")
                self.saver.copy_thread(self.name(step.thread), self.threads[-1])
            case Restart():
                self.restart()
            case Look():
                self.look(step)

    def invoke(self, given: Any, step: Invoke | GoOn | Answer) -> None:
        config = self.config(step.thread, getattr(step, "at", None))
        # what changes while it is stored in the background is stored as it was at either moment: no two savers agree
        in_place = isinstance(step, Invoke) and any(order[0].endswith("in_place") for order in step.orders)
        options: Any = {"durability": "sync" if in_place and step.durability == "async" else step.durability}
        if step.asynchronous:
            self.loop.run(self.graph.ainvoke(given, config, **options))
        else:
            self.graph.invoke(given, config, **options)

    def look(self, step: Look) -> None:
        config = self.config(step.thread)
        before = self.config(step.thread, step.before) if step.before is not None else None
        wanted = {"source": step.source} if step.source else None
        states = [
            self.graph.get_state(config, subgraphs=True),
            *self.graph.get_state_history(config, limit=step.limit, before=before, filter=wanted),
        ]
        found = self.saver.get_tuple(config)
        for handed_out in [
            *(state.values for state in states),
            *([found.checkpoint["channel_values"]] if found else []),
        ]:
            for value in handed_out.values():
                spoil(value)

    def config(self, thread: int, at: int | None = None) -> Any:
        name = self.name(thread)
        chosen = None
        if at is not None:
            ids = [found.checkpoint["id"] for found in self.saver.list(thread_config(name))]
            chosen = ids[at % len(ids)] if ids else None
        return thread_config(name, "", chosen)

    def name(self, thread: int) -> str:
        return self.threads[thread % len(self.threads)]


def spoil(value: Any) -> None:
    """Change an object that was handed out, as careless callers do."""
    if isinstance(value, list):
        for message in value:
            if isinstance(message, BaseMessage):
                message.content = "spoilt"
        value.append("spoilt")
    elif isinstance(value, dict):
        value["spoilt"] = True


def run(table: Table, program: Sequence[Step], *, later: bool = False) -> Kitchens:
    """Run a program on both savers at once, and compare all there is at the end."""
    twin = twin_on(table, later=later)

    def check(step: str) -> None:
        assert twin.findings.differences == [], step

    with asyncio.Runner() as loop:
        kitchens = Kitchens(twin, loop, restart=twin.restart, after=check)
        kitchens.perform(program)
    twin.compare_all(kitchens.threads)
    check("at the end")
    return kitchens


def twin_on(table: Table, *, later: bool) -> Twin:
    """Both savers; `later`: ours may hold super-steps back, so that several share an item."""
    make = partial(DynamoDBSaver, table, later=later, scans=True)
    return Twin(make(), make)


@bounded
@given(program=st.lists(steps, min_size=2, max_size=8), later=st.booleans())
def test_any_program_over_a_graph_reads_the_same(new_moto_table: NewTable, program: list[Step], later: bool) -> None:
    run(new_moto_table(), program, later=later)


def say(*texts: str) -> tuple[Order, ...]:
    return tuple(("say", text, text) for text in texts)


RETYPED: list[Any] = [[1, 2, 3], [1, 2], [2, 1], [True, 2], [True, 2, 0], [1.0, 2, 0], [], [[]], [[], ()], [()]]
"""Lists that shrink, reorder, and differ only in the types of their elements."""

PROGRAMS: dict[str, list[Step]] = {
    "a chain of forks": [
        Invoke(say("m1", "m2")),
        Invoke(say("m3")),
        Invoke(say("m4"), at=2),
        Invoke(say("m5"), at=4),
        Update({"log": ["u"]}, "obey", at=1),
        Restart(),
        Invoke(say("m6"), at=5),
        GoOn(at=3),
        Look(),
    ],
    "messages edited in place": [
        Invoke(say("m1", "m2", "m3")),
        Invoke((("edit_in_place", 0, "other"), ("say", "m4", "x"))),
        Invoke((("edit_in_place", 1, "again"),)),
        Restart(),
        Invoke((("edit", 1, "by id"), ("log_in_place", "first"), ("log", 1))),
        Look(),
        Invoke(say("m5")),
    ],
    "messages removed and the channel overwritten": [
        Invoke(say("m1", "m2", "m3")),
        Invoke((("drop", 1),)),
        Restart(),
        Invoke((("clear",), ("say", "m9", "after"), ("overwrite", "log", [1, 2]))),
        Invoke((("overwrite", "log", []), ("overwrite", "trail", ["reset"]))),
        Look(),
    ],
    "a list that shrinks, reorders and changes only its types": [
        *(Invoke((("queue", value), ("box", value))) for value in RETYPED),
        Restart(),
        Look(),
    ],
    "twelve tasks in the order of their paths": [
        Invoke((("fan", 12, 0, False),)),
        Restart(),
        Invoke((("fan", 12, 2, True),), asynchronous=True),
        Restart(),
        Answer(1, "one"),
        Answer(1, "two", asynchronous=True),
        GoOn(),
        Look(),
    ],
    "questions from parallel tasks and a subgraph": [
        Invoke((("fan", 3, 2, False), ("corner", ("ask",)), ("pantry", ("ask",)))),
        Restart(),
        Answer(2, {"yes": True}),
        Restart(),
        Answer(3, [1]),
        Look(),
        Invoke((("pantry",),), at=3),
        Look(),
    ],
    "durability at exit, then a failure, then on": [
        Invoke(say("m1"), durability="exit"),
        Invoke((("fan", 3, 1, True), ("corner",)), durability="exit"),
        Restart(),
        GoOn(durability="exit"),
        Answer(1, 1, durability="exit", asynchronous=True),
        Invoke((("spill",),), durability="sync"),
        GoOn(),
        Look(),
    ],
    "a deleted thread starts anew": [
        Invoke(say("m1")),
        Copy(),
        Delete(),
        Look(),
        Invoke(say("m2"), asynchronous=True),
        Restart(),
        Delete(),
        Invoke(say("m3")),
        Invoke(say("m4"), thread=2),
        Look(thread=2),
    ],
    "a delta channel over copies and forks": [
        *(Invoke((("trail", [number]), ("fan", 2, 0, False))) for number in range(5)),
        Copy(),
        Invoke((("trail", ["fork"]),), thread=2, at=7),
        Restart(),
        Invoke((("trail", ["on"]),), thread=2),
        Look(thread=2),
        Look(),
    ],
}


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_known_program_reads_the_same(new_moto_table: NewTable, program: list[Step], later: bool) -> None:
    kitchens = run(new_moto_table(), program, later=later)
    assert kitchens.saver.findings.compared > len(program)
    assert kitchens.answered >= sum(isinstance(step, Answer) for step in program)


def shown(saver: Any, thread: str) -> list[dict[str, Any]]:
    """A thread's history as a caller sees it, without what differs from one execution to the next."""
    history = [*kitchen(saver).get_state_history(thread_config(thread))]
    numbers = {state.config["configurable"]["checkpoint_id"]: -number for number, state in enumerate(history)}
    return [
        {
            "values": {name: nameless(value) for name, value in state.values.items()},
            "next": state.next,
            "metadata": {name: (state.metadata or {}).get(name) for name in ("source", "step")},
            "parent": numbers.get((state.parent_config or {}).get("configurable", {}).get("checkpoint_id")),
            "tasks": [(task.name, task.error, [asked.value for asked in task.interrupts]) for task in state.tasks],
        }
        for state in history
    ]


def nameless(value: Any) -> Any:
    """Messages without the ids that LangGraph draws for them."""
    if isinstance(value, list):
        return [(part.type, part.content) if isinstance(part, BaseMessage) else part for part in value]
    return value


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_known_program_does_the_same_with_versions_of_our_own(new_moto_table: NewTable, program: list[Step]) -> None:
    table, memory = new_moto_table(), Oracle()
    with asyncio.Runner() as loop:
        theirs = Kitchens(memory, loop)
        theirs.perform(program)
        ours = Kitchens(DynamoDBSaver(table), loop)

        def restart() -> None:
            ours.saver.flush()
            ours.saver = DynamoDBSaver(table)

        ours.restart = restart
        ours.perform(program)
    assert ours.threads == theirs.threads
    for thread_id in ours.threads:
        differences = [*differing(thread_id, shown(memory, thread_id), shown(ours.saver, thread_id))]
        assert differences == []


# ---------------------------------------------------------------- programs of bare calls


@dataclass(frozen=True)
class Put:
    """A checkpoint whose parent is `parent` puts back, with these channels changed."""

    changed: dict[str, Any]
    parent: int
    namespace: str
    run_id: str


@dataclass(frozen=True)
class PutWrites:
    task: int
    channels: tuple[str, ...]
    back: int
    namespace: str


@dataclass(frozen=True)
class DropRuns:
    run_id: str


@dataclass(frozen=True)
class Prune:
    strategy: str


Bare = Put | PutWrites | DropRuns | Prune | Copy | Delete | Restart

namespaces = st.sampled_from(["", "", "child", "child:1|grand#child:2"])
bare_calls = st.one_of(
    *[
        st.builds(
            Put,
            st.dictionaries(st.sampled_from(["list", "other", "third"]), lists | values, max_size=3),
            st.integers(0, 3),
            namespaces,
            st.sampled_from(["run-1", "run-2"]),
        )
    ]
    * 4,
    *[
        st.builds(
            PutWrites,
            st.integers(0, 12),
            st.lists(st.sampled_from(["list", "other", "__error__", "__interrupt__", "__resume__"]), max_size=3).map(
                tuple
            ),
            st.integers(0, 2),
            namespaces,
        )
    ]
    * 3,
    st.builds(DropRuns, st.sampled_from(["run-1", "run-2"])),
    st.builds(Prune, st.sampled_from(["keep_latest", "delete"])),
    st.builds(Copy),
    st.builds(Delete),
    st.just(Restart()),
)


@dataclass
class BareThread:
    """Plays bare saver calls on one thread and remembers the checkpoints of each namespace."""

    twin: Twin
    threads: list[str] = field(default_factory=lambda: ["thread"])
    made: dict[str, list[Any]] = field(default_factory=dict)

    def take(self, call: Bare) -> None:
        match call:
            case Put():
                self.put(call)
            case PutWrites():
                made = self.made.get(call.namespace, [])
                if made:
                    config, _ = made[-1 - call.back % len(made)]
                    written = [(channel, [number, channel]) for number, channel in enumerate(call.channels)]
                    self.twin.put_writes(config, written, f"task-{call.task}", f"~__pregel_pull, {call.task % 3:010d}")
            case DropRuns():
                self.made.clear()
                self.twin.delete_for_runs([call.run_id])
            case Prune():
                self.made.clear()
                self.twin.prune(["thread"], strategy=call.strategy)
            case Copy():
                self.threads.append(f"copy-{len(self.threads)}")
                self.twin.copy_thread("thread", self.threads[-1])
            case Delete():
                self.made.clear()
                self.twin.delete_thread("thread")
            case Restart():
                self.twin.restart()

    def put(self, call: Put) -> None:
        made = self.made.setdefault(call.namespace, [])
        parent, before = made[-1 - call.parent % len(made)] if made else (thread_config("thread", call.namespace), None)
        checkpoint = create_checkpoint(before or empty_checkpoint(), None, len(made))
        versions = {
            channel: self.twin.get_next_version(checkpoint["channel_versions"].get(channel), None)  # type: ignore[arg-type]
            for channel in call.changed
        }
        checkpoint["channel_versions"] = {**checkpoint["channel_versions"], **versions}
        checkpoint["channel_values"] = {**checkpoint["channel_values"], **call.changed}
        metadata: Any = {"source": "loop", "step": len(made), "parents": {}, "run_id": call.run_id}
        made.append((self.twin.put(parent, checkpoint, metadata, dict(versions)), checkpoint))


@bounded
@given(program=st.lists(bare_calls, min_size=3, max_size=14), later=st.booleans())
def test_any_program_of_bare_calls_reads_the_same(new_moto_table: NewTable, program: list[Bare], later: bool) -> None:
    twin = twin_on(new_moto_table(), later=later)
    player = BareThread(twin)
    for call in program:
        player.take(call)
    twin.compare_all(player.threads)
    assert twin.findings.differences == []
