"""A model that answers token by token, and a node that reports its progress: what streams show."""

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph


async def speak(state: MessagesState) -> dict[str, list[AIMessage]]:
    """Answer, and say so."""
    get_stream_writer()({"progress": "half"})
    model = GenericFakeChatModel(messages=iter([AIMessage("three small words")]))
    answer = await model.ainvoke(state["messages"])
    assert isinstance(answer, AIMessage)
    get_stream_writer()({"progress": "done"})
    return {"messages": [answer]}


builder = StateGraph(MessagesState)
builder.add_node("speak", speak)
builder.add_edge(START, "speak")
builder.add_edge("speak", END)
graph = builder.compile()
