"""Streams of whole threads with something on every channel, and runs of other clients behind the last event seen."""

import time
from pathlib import Path

import httpx
import pytest

from tests.contract.calls import Json, read
from tests.contract.streams.recorded import HI
from tests.contract.test_commands import code_of, done, ends, events, lifecycle, settle, start, waiting


@pytest.fixture
def told(api: httpx.Client, thread_id: str) -> list[Json]:
    """All events of a run of the protocol."""
    start(api, thread_id, assistant_id="talk", input=HI)
    return events(api, thread_id, ends(1))


@pytest.mark.parametrize("channel", ["values", "updates", "messages", "custom", "checkpoints", "lifecycle"])
def test_a_channel_has_its_own_events_and_no_others(
    channel: str, told: list[Json], api: httpx.Client, thread_id: str
) -> None:
    expected = [one for one in told if one["method"] == channel]
    assert expected
    assert events(api, thread_id, lambda found: len(found) == len(expected), channels=[channel]) == expected


def test_a_model_is_told_token_by_token_and_custom_data_as_they_were_written(told: list[Json]) -> None:
    root = [one["params"] for one in told if not one["params"]["namespace"]]
    assert {"payload": {"progress": "thinking"}} in [params["data"] for params in root]
    spoken = [params["data"] for params in root if "event" in params["data"] and "delta" in params["data"]]
    assert "".join(one["delta"].get("text", "") for one in spoken).startswith("well said indeed")


def test_a_tool_is_told_to_start_what_it_tells_meanwhile_and_to_end(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, assistant_id="tooled", input={"messages": [{"role": "user", "content": "search oslo"}]})
    found = [one["params"] for one in events(api, thread_id, ends(1)) if one["method"] == "tools"]
    assert all(params["namespace"] == [] for params in found)
    begun, *deltas, ended = [params["data"] for params in found]
    call = {"tool_call_id": "call-1"}
    assert begun == {"event": "tool-started", "tool_name": "search", "input": {"query": "oslo"}, **call}
    assert deltas == [{"event": "tool-output-delta", "delta": delta, **call} for delta in ("a fjord, ", "a ski jump")]
    assert (ended["event"], ended["tool_call_id"]) == ("tool-finished", "call-1")
    assert ended["output"]["content"] == "oslo has a fjord, a ski jump"


def test_a_failing_node_is_told_after_what_came_before_it(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, assistant_id="talk", input={**HI, "fail": True})
    found = events(api, thread_id, ends(1))
    assert lifecycle(found) == ["running", "failed"]
    assert found[-1]["params"]["data"]["error"] == "lost for words"


def joined(api: httpx.Client, thread_id: str, last: str, runs: int) -> list[tuple[str, str]]:
    """The names and ids of a thread's events behind one, as far as the end of so many runs."""
    found: list[tuple[str, str]] = []
    fields: dict[str, str] = {}
    deadline = time.monotonic() + 20
    with api.stream("GET", f"/threads/{thread_id}/stream", headers={"last-event-id": last}) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            assert time.monotonic() < deadline, f"never enough: {found}"
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "event" in fields:
                found.append((fields["event"], fields["id"]))
                runs -= "run_done" in fields["data"]
                fields = {}
            if not runs:
                return found
    return found


def test_the_runs_of_other_clients_are_read_behind_any_event(api: httpx.Client, thread_id: str) -> None:
    body = {"assistant_id": "talk", "input": HI, "stream_mode": "updates", "stream_resumable": True}
    for _ in range(2):
        api.post(f"/threads/{thread_id}/runs/stream", json=body).raise_for_status()
    found = joined(api, thread_id, "-", 2)
    run = ["metadata", "updates", "updates", "updates", "metadata"]
    assert [name for name, _ in found] == run * 2
    assert len({place for _, place in found}) == len(found)
    for place in (1, 6, 8):
        assert joined(api, thread_id, found[place][1], 2 if place < 4 else 1) == found[place + 1 :]


def test_of_two_interrupts_the_one_that_is_left_waits_for_its_answer(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, assistant_id="pair", input={})
    settle(api, thread_id, "interrupted")
    first, second = waiting(api, thread_id)
    done(api, thread_id, "input.respond", {"interrupt_id": first, "response": "a"})
    settle(api, thread_id, "interrupted")
    assert waiting(api, thread_id) == [second]
    assert code_of(api, thread_id, "input.respond", {"interrupt_id": first, "response": "b"}) == "no_such_interrupt"
    assert read(api, f"/threads/{thread_id}")["values"] == {"answers": ["left a"]}
    done(api, thread_id, "input.respond", {"interrupt_id": second, "response": "c"})
    settle(api, thread_id)
    assert read(api, f"/threads/{thread_id}")["values"] == {"answers": ["left a", "right c", "last"]}


def test_the_input_of_a_run_answers_the_interrupt_that_its_thread_was_just_told_of(
    api: httpx.Client, thread_id: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    start(api, thread_id, assistant_id="pair", input={"until": str(gate)})
    events(api, thread_id, lambda found: found[-1]["method"] == "input.requested")
    start(api, thread_id, assistant_id="pair", input="yes")  # the run that asks has not ended
    gate.touch()
    settle(api, thread_id)
    assert read(api, f"/threads/{thread_id}")["values"]["answers"] == ["left yes", "right came", "last"]


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
def test_the_input_of_a_run_that_takes_the_place_of_one_that_asks_is_no_answer(
    strategy: str, api: httpx.Client, thread_id: str, tmp_path: Path
) -> None:
    gate, open_gate = tmp_path / "gate", tmp_path / "open"
    open_gate.touch()
    start(api, thread_id, assistant_id="pair", input={"until": str(gate)})
    events(api, thread_id, lambda found: found[-1]["method"] == "input.requested")
    start(api, thread_id, assistant_id="pair", input={"until": str(open_gate)}, multitaskStrategy=strategy)
    settle(api, thread_id, "interrupted")
    gate.touch()
    assert read(api, f"/threads/{thread_id}")["values"]["until"] == str(open_gate)
    assert len(waiting(api, thread_id)) == 1


def test_two_interrupts_are_answered_by_one_command(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, assistant_id="pair", input={})
    settle(api, thread_id, "interrupted")
    responses = [{"interrupt_id": one, "response": number} for number, one in enumerate(waiting(api, thread_id))]
    done(api, thread_id, "input.respond", {"responses": responses})
    settle(api, thread_id)
    assert read(api, f"/threads/{thread_id}")["values"]["answers"] == ["left 0", "right 1", "last"]
    found = events(api, thread_id, ends(2), channels=["custom:steps", "lifecycle"])
    assert {one["params"]["data"]["name"] for one in found if one["method"] == "custom"} == {"steps"}
