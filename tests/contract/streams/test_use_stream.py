"""The hook `useStream`, the real one of each of LangChain's packages, takes a page through a conversation."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import run
from typing import Any

import httpx
import pytest

from tests.conftest import TENANT_HEADER, Server
from tests.javascript import packages

SCRIPT = Path(__file__).with_name("use_stream.mjs")

OLDER, NEWER = "newest/react", "@langchain/react"
EACH = pytest.mark.parametrize(
    "package",
    [OLDER, NEWER],
    ids=["langgraph-sdk: a stream of each run", "langchain-react: one stream of the thread"],
)

Show = Callable[..., Any]
"""Takes the hook of a package through a scenario of the script; what it has to tell."""


@pytest.fixture
def show(server: Server) -> Show:
    """Shows pages of the server."""

    def shown(package: str, scenario: str, **options: Any) -> Any:
        headers = json.dumps({TENANT_HEADER.decode(): "acme"})
        given = (package, server.url, headers, scenario, json.dumps(options))
        finished = run(
            ["node", str(SCRIPT), str(packages()), *given], check=False, capture_output=True, timeout=120, text=True
        )
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return shown


@EACH
def test_a_page_shows_tokens_an_interrupt_an_error_and_the_conversation_when_it_is_opened_again(
    package: str, show: Show
) -> None:
    subgraphs = ["ai:found it"] if package == NEWER else []
    assert show(package, "conversation") == {
        "tokens": True,
        "messages": ["ai:bye", *subgraphs, "ai:well said indeed", "human:hi"],
        "notes": ["spoken", "spoken", "looked", "asked yes", "closed"],
        "interrupt": "sure?",
        "answered": None,
        "error": "lost for words",
        "reopened": True,
    }


@EACH
def test_a_page_that_is_loaded_anew_while_a_run_goes_on_shows_all_of_it_and_starts_none(
    package: str, show: Show, api: httpx.Client, tmp_path: Path
) -> None:
    gate = str(tmp_path / "gate")
    left = show(package, "left", gate=gate)
    again = show(package, "reloaded", gate=gate, thread=left["thread"], stored=left["stored"])
    assert again["before"] == ["begin"]
    assert again["updated"] == ["begin", "append", "append"]
    assert (again["entries"], again["stored"]) == (["e-0", "e-1"], [])
    starting = {"/runs/stream", "/commands"}
    assert len(starting.intersection(left["posts"])) == 1
    assert starting.isdisjoint(again["posts"])
    (one,) = api.get(f"/threads/{left['thread']}/runs").json()
    assert one["status"] == "success"


@EACH
def test_a_page_shows_what_tools_were_called_with_and_what_came_of_it(package: str, show: Show) -> None:
    found, refused = show(package, "tooled")
    assert found == ["search", {"query": "oslo"}, "oslo has a fjord, a ski jump"]
    assert refused[:2] == ["refuse", {"query": "oslo"}]
    assert "oslo is secret" in refused[2]


ONE, TWO = ["one", "You said: one (turn 1)"], ["two", "You said: two (turn 2)"]


def test_a_page_edits_an_earlier_message_and_shows_either_branch(show: Show) -> None:
    assert show(OLDER, "branched", edited="one", turn=1) == {
        "tree": [-1, [[0, 1, 2, 3, 4], [0, 1, 2]]],
        "place": [1, 2],
        "told": [["other", "You said: other (turn 1)"], [*ONE, *TWO], [*ONE, *TWO]],
        "forks": 2,
    }


def test_a_page_of_one_stream_edits_the_last_question_and_has_it_answered_anew(show: Show) -> None:
    """Of messages before that the hook forgets where they were first seen."""
    told = [*ONE, "other", "You said: other (turn 2)"]
    assert show(NEWER, "branched", edited="two", turn=2) == {"told": [told, told], "forks": 2}
