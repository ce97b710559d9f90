"""JSON of whatever a graph may hold, and the one shape of errors."""

import json
import math
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel, SecretStr

from handler.api.answers import encode, error_answer, json_answer


class Colour(Enum):
    """An enum of strings."""

    RED = "red"


class Word(StrEnum):
    """An enum that is a string."""

    YES = "yes"


class Level(IntEnum):
    """An enum that is a number."""

    HIGH = 3


@dataclass
class Point:
    """A dataclass."""

    x: float
    label: Colour = Colour.RED


class Model(BaseModel):
    """A pydantic model."""

    when: datetime
    secret: SecretStr = SecretStr("hidden")
    inner: Any = None


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: int


class Dumps:
    """Says how it is to be written."""

    def to_dict(self) -> dict[str, Any]:
        return {"dumped": {1}}


class NeedsMore:
    """Has a method of a known name that wants arguments."""

    def dict(self, _depth: int) -> None:
        """Never reached."""

    def __str__(self) -> str:
        return "needs more"


class Opaque:
    """Says nothing of itself."""

    def __str__(self) -> str:
        return "opaque"


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ({"a": [1, 2.5, "ü", True]}, {"a": [1, 2.5, "ü", True]}),
        (Colour.RED, "red"),
        (Word.YES, "yes"),
        (Level.HIGH, 3),
        ({Colour.RED: 1, Level.HIGH: 2, 5: 3}, {"red": 1, "3": 2, "5": 3}),
        ({3}, [3]),
        (frozenset({"a"}), ["a"]),
        ((1, (2,)), [1, [2]]),
        (b"\x00\xff", "AP8="),
        (math.nan, None),
        ([math.inf, -math.inf], [None, None]),
        (Point(math.nan), {"x": None, "label": "red"}),
        (Model(when=NOON), {"when": "2026-01-02T12:00:00Z", "secret": "**********", "inner": None}),
        (Model(when=NOON, inner=Opaque()), {"when": "2026-01-02T12:00:00Z", "secret": "**********", "inner": "opaque"}),
        (Pair(1, 2), [1, 2]),
        (NOON, "2026-01-02T12:00:00Z"),
        (timedelta(seconds=90), "PT1M30S"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (Path("a", "b"), "a/b"),
        (10**30, 10**30),
        (ValueError("why"), {"error": "ValueError", "message": "why"}),
        ({"e": [KeyError("k")]}, {"e": [{"error": "KeyError", "message": "'k'"}]}),
        (Dumps(), {"dumped": [1]}),
        (Opaque(), "opaque"),
        (NeedsMore(), "needs more"),
        (Opaque, str(Opaque)),
        (Model, str(Model)),
        (1j, "1j"),
        (Interrupt(value={"q": Colour.RED}, id="i"), {"value": {"q": "red"}, "id": "i", "response_schema": None}),
        (Send("node", {"a": 1}), {"node": "node", "args": {"a": 1}}),
        (
            Command(goto=[Send("n", 1), "m"], update={"a": {2}}),
            {"graph": None, "update": {"a": [2]}, "resume": None, "goto": [{"node": "n", "args": 1}, "m"]},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_a_graph_is_written_as_json(value: Any, expected: Any) -> None:
    assert json.loads(encode(value)) == expected


def test_messages_are_written_as_the_sdks_read_them() -> None:
    call = {"name": "weather", "args": {"city": "oslo"}, "id": "c1", "type": "tool_call"}
    messages = [
        HumanMessage("hi", id="1"),
        AIMessage("", id="2", tool_calls=[call]),
        ToolMessage("sunny", tool_call_id="c1", id="3"),
    ]
    written = json.loads(encode({"messages": messages}))["messages"]
    assert [one["type"] for one in written] == ["human", "ai", "tool"]
    assert [one["id"] for one in written] == ["1", "2", "3"]
    assert written[0]["content"] == "hi"
    assert written[1]["tool_calls"] == [call]
    assert written[2]["tool_call_id"] == "c1"


def test_documents_are_written_with_their_metadata() -> None:
    written = json.loads(encode([Document("text", metadata={"page": Level.HIGH})]))
    assert (written[0]["page_content"], written[0]["metadata"]) == ("text", {"page": 3})


def test_an_answer_is_json_with_its_headers() -> None:
    answer = json_answer({"a": math.nan}, 201, {"X-Test": "1"})
    assert (answer.status_code, answer.body) == (201, b'{"a":null}')
    assert (answer.headers["content-type"], answer.headers["x-test"]) == ("application/json", "1")


def test_an_error_is_a_detail_and_nothing_else() -> None:
    answer = error_answer(404, "gone", {"Retry-After": "1"})
    assert (answer.status_code, answer.body, answer.headers["retry-after"]) == (404, b'{"detail":"gone"}', "1")


def test_half_a_surrogate_pair_is_written_as_a_question_mark() -> None:
    value = {"cut\ud83d": ["x\ud83dy", math.nan, b"ab", AIMessage("hi \ud800", id="1")]}
    written = json.loads(encode(value))
    assert written["cut?"][:3] == ["x?y", None, "YWI="]
    assert written["cut?"][3]["content"] == "hi ?"
