"""A chat agent with a tool and a scripted model: what a real agent does, without an API key."""

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

WEATHER = {"oslo": "sunny, 12 °C", "lima": "cloudy, 19 °C", "pune": "rain, 27 °C"}


def scripted_model(messages: list[AnyMessage]) -> AIMessage:
    """Ask the tool when weather is mentioned, report what it said, and else echo."""
    last = messages[-1]
    if isinstance(last, ToolMessage):
        return AIMessage(f"The weather is {last.content}.")
    text = str(last.content)
    if "weather" in text.lower():
        city = next((name for name in WEATHER if name in text.lower()), "oslo")
        call = {"name": "weather", "args": {"city": city}, "id": f"call_{len(messages)}"}
        return AIMessage("", tool_calls=[call])
    turn = sum(1 for message in messages if message.type == "human")
    return AIMessage(f"You said: {text} (turn {turn})")


def agent(state: MessagesState) -> dict[str, list[AnyMessage]]:
    """Call the model."""
    return {"messages": [scripted_model(state["messages"])]}


def tools(state: MessagesState) -> dict[str, list[AnyMessage]]:
    """Answer the tool calls of the last message."""
    last = state["messages"][-1]
    calls = last.tool_calls if isinstance(last, AIMessage) else []
    return {
        "messages": [
            ToolMessage(WEATHER[call["args"]["city"]], tool_call_id=call["id"], name=call["name"]) for call in calls
        ]
    }


def route(state: MessagesState) -> str:
    """Go on to the tools while the model calls them."""
    last = state["messages"][-1]
    return "tools" if isinstance(last, AIMessage) and last.tool_calls else END


builder = StateGraph(MessagesState)
builder.add_node("agent", agent)
builder.add_node("tools", tools)
builder.add_edge(START, "agent")
builder.add_conditional_edges("agent", route, ["tools", END])
builder.add_edge("tools", "agent")
graph = builder.compile()
