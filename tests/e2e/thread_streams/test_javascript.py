"""The real JS SDK on streams of whole threads: what a user's program does with them, on node."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client

from tests.e2e.thread_streams.conftest import TENANT
from tests.javascript import sdk_entry

SCRIPT = Path(__file__).with_name("scenarios.mjs")
SPOKEN = ["spoken", "spoken", "looked", "asked no", "closed"]

Play = Callable[..., Any]
"""Plays a scenario of the script; what it has to tell."""


@pytest.fixture(scope="session")
def sdk() -> Path:
    """The entry of the JS SDK."""
    return sdk_entry("newest")


@pytest.fixture
def play(sdk: Path, url: str) -> Play:
    """Plays scenarios against the server."""

    def played(name: str, **given: Any) -> Any:
        command = ["node", str(SCRIPT), str(sdk), url, json.dumps(TENANT), name, json.dumps(given)]
        finished = subprocess.run(command, check=False, capture_output=True, timeout=30, text=True)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return played


def test_projections_opened_at_once_have_all_of_a_run(play: Play) -> None:
    assert play("projections") == {
        "last": SPOKEN,
        "texts": ["well said indeed", "found it"],
        "children": ["child"],
        "output": SPOKEN,
        "status": "success",
    }


def test_values_come_after_each_step(play: Play) -> None:
    assert play("values") == [None, 1, 2, 3, 4]


def test_a_human_is_asked_and_the_run_goes_on_with_the_answer(play: Play) -> None:
    last = {"question": "go?", "answer": "yes", "done": True}
    assert play("interrupt") == {"payload": {"question": "go?"}, "last": last}


def test_a_run_that_fails_says_why(play: Play) -> None:
    assert play("failure") == {"error": "lost for words", "last": SPOKEN[:-1]}


def test_tool_calls_have_their_input_and_their_output_or_how_they_failed(play: Play) -> None:
    assert play("tools") == [
        {"name": "search", "input": {"query": "oslo"}, "output": "oslo has a fjord, a ski jump"},
        {"name": "refuse", "input": {"query": "oslo"}, "error": "oslo is secret"},
    ]


def test_an_unknown_assistant_is_an_error_that_names_it(play: Play) -> None:
    assert "nope" in play("refused")


def test_who_comes_while_a_run_goes_on_has_all_of_it(play: Play) -> None:
    assert play("later") == [None, 1, 2, 3, 4, 5]


def test_a_second_run_follows_on_the_same_thread(play: Play) -> None:
    first, second = play("twice")
    assert (first, second[-3:]) == ([None, 1, 2], [2, 3, 4])


def test_a_joined_stream_is_resumed_behind_any_event_with_nothing_lost_or_twice(play: Play, url: str) -> None:
    with get_sync_client(url=url, api_key=None, headers=TENANT) as client:
        thread_id = client.threads.create()["thread_id"]
    with httpx.Client(base_url=url, headers=TENANT, trust_env=False) as api:
        for _ in range(2):
            params = {"assistant_id": "long", "input": {"steps": 1, "seconds": 0}}
            body = {"id": 1, "method": "run.start", "params": params}
            run_id = api.post(f"/threads/{thread_id}/commands", json=body).json()["result"]["run_id"]
            api.get(f"/threads/{thread_id}/runs/{run_id}/join", timeout=20)
    found = play("joined", threadId=thread_id)
    whole = found["whole"]
    assert len({part["id"] for part in whole}) == len(whole)
    assert [part["event"] for part in whole].count("metadata") == 4
    assert found["rests"] == [whole[place + 1 :] for place in range(len(whole) - 1)]
