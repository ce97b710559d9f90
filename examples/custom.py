"""Takes a typed context, and is made by a factory that sees the run's config."""

from dataclasses import dataclass
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime


@dataclass
class Context:
    """Who is greeted, and how."""

    user_name: str = "nobody"
    tone: str = "plain"


class State(TypedDict, total=False):
    """A text, and a greeting for it."""

    text: str
    greeting: str
    seen_configurable: dict[str, Any]
    seen_metadata: dict[str, Any]
    seen_tags: list[str]
    seen_limit: int


def greet(state: State, runtime: Runtime[Context]) -> State:
    """Greet with what the context says, and show the config that arrived."""
    config = get_config()
    visible = {name: value for name, value in config.get("configurable", {}).items() if not name.startswith("__")}
    return {
        "greeting": f"{runtime.context.tone}:{runtime.context.user_name}",
        "seen_configurable": {name: value for name, value in visible.items() if isinstance(value, str | int | float)},
        "seen_metadata": {
            name: value for name, value in config.get("metadata", {}).items() if isinstance(value, str | int | float)
        },
        "seen_tags": list(config.get("tags") or []),
        "seen_limit": config.get("recursion_limit", 0),
    }


builder = StateGraph(State, context_schema=Context)
builder.add_node("greet", greet)
builder.add_edge(START, "greet")
builder.add_edge("greet", END)


def graph(_config: RunnableConfig) -> CompiledStateGraph[State, Context]:
    """The graph, made anew for each run."""
    return builder.compile()
