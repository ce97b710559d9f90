"""Workload W: a chat whose every turn is agent, tool, agent, with four messages of about a kilobyte."""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict
from uuid import UUID

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from tests.bench.metering import Bill, Meter

THREAD = "00000000-0000-4000-8000-000000000001"
CONFIG: Any = {"configurable": {"thread_id": THREAD}}
MESSAGE_BYTES = 1024
MESSAGES_PER_TURN = 4

SYLLABLES = [left + right for left in "bdfklmnprst" for right in "aeiou"]


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def prose(source: random.Random, size: int) -> str:
    """Text that compresses about as well as English: words drawn unevenly from a few hundred, and numbers."""
    vocabulary = VOCABULARY
    words: list[str] = []
    length = 0
    while length < size:
        rank = int(len(vocabulary) * source.random() ** 1.6)
        word = str(source.randrange(10**6)) if source.random() < 0.1 else vocabulary[rank]
        words.append(word)
        length += len(word) + 1
    return " ".join(words)[:size]


def vocabulary(size: int = 400) -> list[str]:
    source = random.Random(5)
    return ["".join(source.choices(SYLLABLES, k=source.randint(1, 4))) for _ in range(size)]


VOCABULARY = vocabulary()


def chat(saver: Any, node_ms: float = 0, seed: int = 0) -> Any:
    """The graph; `node_ms` is how long each node takes."""
    source = random.Random(7 + seed)

    def agent(state: Chat) -> dict[str, Any]:
        time.sleep(node_ms / 1000)
        asked = state["messages"][-1].type == "human"
        call = {"name": "lookup", "args": {"query": prose(source, 40)}, "id": str(UUID(int=source.getrandbits(128)))}
        answer = AIMessage(
            prose(source, MESSAGE_BYTES),
            tool_calls=[call] if asked else [],
            response_metadata={"model_name": "model", "finish_reason": "stop"},
            usage_metadata={"input_tokens": 1000, "output_tokens": 250, "total_tokens": 1250},
        )
        return {"messages": [answer]}

    def tools(state: Chat) -> dict[str, Any]:
        time.sleep(node_ms / 1000)
        (call,) = state["messages"][-1].tool_calls  # type: ignore[union-attr]
        return {"messages": [ToolMessage(prose(source, MESSAGE_BYTES), tool_call_id=call["id"], name="lookup")]}

    def route(state: Chat) -> str:
        return "tools" if state["messages"][-1].tool_calls else END  # type: ignore[union-attr]

    builder = StateGraph(Chat)
    builder.add_node("agent", agent)
    builder.add_node("tools", tools)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", route, ["tools", END])
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=saver)


@dataclass
class Measured:
    """What the turns cost, and what came after them."""

    turns: list[Bill] = field(default_factory=list)
    phases: dict[str, Bill] = field(default_factory=dict)
    ended: str = ""
    """Why the turns ended early."""


@dataclass(frozen=True)
class Workload:
    """How the chat is run."""

    turns: int
    node_ms: float = 0
    durability: str = "async"
    thread: str = THREAD

    async def run(self, meter: Meter, saver: Any, done: int = 0) -> Measured:
        """Run the turns after the first `done`, each one billed; stop at the first that fails."""
        measured = Measured()
        graph, source = chat(saver, self.node_ms, seed=done), random.Random(11 + done)
        config: Any = {"configurable": {"thread_id": self.thread}}
        durability: Any = self.durability
        for turn in range(done + 1, self.turns + 1):
            bill = meter.start()
            try:
                message = HumanMessage(prose(source, MESSAGE_BYTES))
                state = await graph.ainvoke({"messages": [message]}, config, durability=durability)
                if hasattr(saver, "aflush"):
                    await saver.aflush()
            except Exception as error:  # what ends a saver is part of the result
                measured.ended = f"turn {turn}: {type(error).__name__}"
                break
            if len(state["messages"]) != MESSAGES_PER_TURN * turn:
                raise AssertionError(f"turn {turn} has {len(state['messages'])} messages")
            measured.turns.append(bill)
        return measured


async def measure(meter: Meter, phase: Callable[[], Awaitable[Any]]) -> Bill:
    """Bill one call."""
    bill = meter.start()
    await phase()
    return bill


def line(bill: Bill, *, snapshot: bool = False) -> dict[str, Any]:
    """A bill as JSON."""
    return {
        "requests": bill.count,
        "wru": bill.wru,
        "rru": bill.rru,
        "sent": bill.sent,
        "operations": dict(bill.requests),
        "snapshot": snapshot,
    }
