"""A graph with something for each stream mode: tokens, whole messages, custom data, a subgraph, an interrupt."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt


class Talk(TypedDict, total=False):
    """A conversation, what was noted beside it, and what steers it."""

    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    ask: bool
    """Whether the subgraph asks a question."""
    fail: bool
    """Whether the last node fails."""
    seconds: float
    """How long the first node takes before it speaks."""


async def speak(state: Talk) -> Talk:
    """Have a model answer, token by token."""
    await asyncio.sleep(state.get("seconds", 0))
    get_stream_writer()({"progress": "thinking"})
    model = GenericFakeChatModel(messages=iter([AIMessage("well said indeed", id="ai-1")]))
    answer = await model.ainvoke(state["messages"])
    return {"messages": [answer], "notes": ["spoken"]}


async def look(state: Talk) -> Talk:
    """Look something up, within the subgraph."""
    get_stream_writer()({"progress": "looking"})
    model = GenericFakeChatModel(messages=iter([AIMessage("found it", id="ai-3")]))
    await model.ainvoke(state["messages"])
    return {"notes": ["looked"]}


def ask(state: Talk) -> Talk:
    """Ask, if told to."""
    answer: Any = interrupt("sure?") if state.get("ask") else "no"
    return {"notes": [f"asked {answer}"]}


def close(state: Talk) -> Talk:
    """Say a last word that no model made, or fail."""
    if state.get("fail"):
        raise ValueError("lost for words")
    return {"messages": [AIMessage("bye", id="ai-2")], "notes": ["closed"]}


inner = StateGraph(Talk)
inner.add_node("look", look)
inner.add_node("ask", ask)
inner.add_edge(START, "look")
inner.add_edge("look", "ask")
inner.add_edge("ask", END)

builder = StateGraph(Talk)
builder.add_node("speak", speak)
builder.add_node("child", inner.compile())
builder.add_node("close", close)
builder.add_edge(START, "speak")
builder.add_edge("speak", "child")
builder.add_edge("child", "close")
builder.add_edge("close", END)
graph = builder.compile()
