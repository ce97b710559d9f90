"""Calls a tool by LangGraph's tool node, as the last message says it: `search oslo`, `refuse oslo`."""

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime


@tool
def search(query: str, runtime: ToolRuntime) -> str:
    """Search, and tell of what was found so far."""
    for finding in ("a fjord, ", "a ski jump"):
        runtime.emit_output_delta(finding)
    return f"{query} has a fjord, a ski jump"


@tool
def refuse(query: str) -> str:
    """Fail."""
    raise ValueError(f"{query} is secret")


def ask(state: MessagesState) -> MessagesState:
    """Have the tool called."""
    name, _, query = str(state["messages"][-1].content).partition(" ")
    call = {"name": name, "args": {"query": query}, "id": f"call-{len(state['messages'])}", "type": "tool_call"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


builder = StateGraph(MessagesState)
builder.add_node("ask", ask)
builder.add_node("tools", ToolNode([search, refuse], handle_tool_errors=True))
builder.add_edge(START, "ask")
builder.add_edge("ask", "tools")
builder.add_edge("tools", END)
graph = builder.compile()
