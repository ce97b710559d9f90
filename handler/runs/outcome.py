"""How a run ends: what its end means for run and thread, and what its waiters are told."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from handler.domain.events import Event
from handler.domain.models import JsonObject

SHOWN_ERRORS = (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError, TimeoutError)
"""Exceptions whose messages a caller may read; of others, which may tell of the inside, only the class is named."""

HIDDEN_MESSAGE = "An internal error occurred"

MESSAGE_LIMIT = 10_000
"""Longest message that is shown, in characters: it has to fit into the items of run and thread."""

INTERRUPT = "__interrupt__"
ERROR = "__error__"

SHOWING_INTERRUPTS = ("values", "updates")
"""The stream modes that tell of interrupts."""


def describe_error(error: BaseException) -> JsonObject:
    """The error as run, thread and waiters show it: `{"error": class, "message": text}`."""
    kind = type(error)
    shown = (
        isinstance(error, SHOWN_ERRORS)
        or kind.__module__.startswith("langgraph.")
        or any(base.__name__ == "HTTPException" for base in kind.__mro__)
    )
    return {"error": kind.__name__, "message": _message(error) if shown else HIDDEN_MESSAGE}


def _message(error: BaseException) -> str:
    """The error's text, such that it can be stored: bounded, and UTF-8. Whatever it is, the run has to end."""
    try:
        text = str(error)
    except Exception:
        return HIDDEN_MESSAGE
    if len(text) > MESSAGE_LIMIT:
        text = text[: MESSAGE_LIMIT - 1] + "…"
    return text.encode(errors="backslashreplace").decode()


def error_body(error: JsonObject) -> JsonObject:
    """What the waiter of a failed run is told."""
    return {ERROR: error}


class Answer:
    """Gathers from a graph's stream what the waiter is told at its end.

    Interrupts come one by one, each with the values. One of them is shown beside the values; two or more, or any when
    `interrupts_alone`, stand alone.
    """

    def __init__(self, *, interrupts_alone: bool = False) -> None:
        self.interrupts_alone = interrupts_alone
        self.values: Any = None
        self.interrupts: dict[str, Any] = {}

    def add(self, values: Any) -> None:
        """Take one chunk of the stream mode `values`."""
        if isinstance(values, Mapping) and INTERRUPT in values:
            self.interrupts.update({interrupt.id: interrupt for interrupt in values[INTERRUPT]})
            values = {name: value for name, value in values.items() if name != INTERRUPT}
            if not values:
                return
        self.values = values

    def body(self) -> Any:
        """The answer so far."""
        if not self.interrupts:
            return self.values
        interrupts = list(self.interrupts.values())
        if self.interrupts_alone or len(interrupts) > 1 or not isinstance(self.values, Mapping):
            return {INTERRUPT: interrupts}
        return {**self.values, INTERRUPT: interrupts}


def tells_of_interrupt(event: Event) -> bool:
    """Whether an event of a run's stream shows an interrupt, of the root or of a subgraph."""
    mode, _, _ = event.name.partition("|")
    if mode not in SHOWING_INTERRUPTS or INTERRUPT.encode() not in event.data:
        return False
    data = from_json(event.data)
    if isinstance(data, dict) and data.get("type") == "event":  # the thread-wide protocol's
        data = data["params"]["data"]
    return isinstance(data, dict) and INTERRUPT in data


def later_answer(state: Any, output_channels: Any) -> Any:
    """What a waiter is told who comes after the end: the interrupts of the state, else its output."""
    if state.interrupts:
        return {INTERRUPT: [shown_interrupt(interrupt) for interrupt in state.interrupts]}
    return output_of(state, output_channels)


def output_of(state: Any, output_channels: Any) -> Any:
    """The part of a state's values that is the graph's output."""
    values = state.values
    if isinstance(values, Mapping) and not isinstance(output_channels, str):
        return {name: values[name] for name in output_channels if name in values}
    return values


def shown_interrupt(interrupt: Any) -> JsonObject:
    """An interrupt as states and later answers show it."""
    return {"id": interrupt.id, "value": interrupt.value}
