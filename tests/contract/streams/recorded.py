"""What the reference server streams for the `talk` graph, as facts: recorded once, with ids and times made comparable.

`python -m tests.contract.streams.recorded URL` records it again, from a server of `tests/graphs/streams/talk.py`.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

RECORDED = Path(__file__).with_name("recorded_streams.json")

HI = {"messages": [{"role": "user", "content": "hi", "id": "h-1"}]}

PLAIN = ("values", "updates", "messages", "messages-tuple", "tasks", "checkpoints", "debug", "custom", "events")

SCENARIOS: dict[str, dict[str, Any]] = {
    **{mode: {"stream_mode": mode} for mode in PLAIN},
    **{f"{mode}, subgraphs": {"stream_mode": mode, "stream_subgraphs": True} for mode in PLAIN if mode != "events"},
    "no mode": {},
    "an empty list of modes": {"stream_mode": []},
    "several": {"stream_mode": ["values", "updates", "messages-tuple", "custom"]},
    "several with events": {"stream_mode": ["values", "events"], "stream_subgraphs": True},
    "messages both ways": {"stream_mode": ["messages", "messages-tuple"]},
    "debug beside what it is made of": {"stream_mode": ["debug", "checkpoints", "tasks"]},
    "interrupt": {"stream_mode": ["values", "updates"], "input": {**HI, "ask": True}},
    "interrupt, messages": {"stream_mode": "messages", "input": {**HI, "ask": True}},
    "interrupt, subgraphs": {
        "stream_mode": ["values", "tasks"],
        "input": {**HI, "ask": True},
        "stream_subgraphs": True,
    },
    "breakpoint": {"stream_mode": ["values", "updates"], "interrupt_before": ["close"]},
    "failure": {"stream_mode": ["values", "tasks"], "input": {**HI, "fail": True}},
    "no input": {"stream_mode": "values", "input": None},
}
"""Bodies of POST …/runs/stream, but for what they share."""

OF_THE_SERVER = re.compile(r"^(langgraph_(auth_.*|request_id|version|api_.*|plan|host)|created_by|__.*)$")
"""Names in metadata and configurable by which one server tells of itself."""

UNIQUE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Sent:
    """One event as a client sees it."""

    event: str
    data: Any
    id: str | None = None


def events_of(text: str) -> Iterator[Sent]:
    """The events of a stream; comments are none."""
    for block in re.split(r"\r?\n\r?\n", text):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            yield Sent(fields["event"], json.loads(fields["data"]), fields.get("id"))


def normalised(events: list[Sent]) -> list[str]:
    """Events as lines: unique ids numbered as they come, messages in short, without what a server tells of itself."""
    seen: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return seen.setdefault(found[0], f"#{len(seen) + 1}")

    return [UNIQUE.sub(numbered, f"{one.event} {json.dumps(plain(one.data), sort_keys=True)}") for one in events]


def plain(value: Any) -> Any:
    """A value without what differs between two servers or two runs."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if {"content", "additional_kwargs", "type"} <= value.keys():
        shown = " ".join(str(value[name]) for name in ("type", "id", "content"))
        return f"{shown} ({', '.join(sorted(value.keys()))})"
    kept = {name: plain(one) for name, one in value.items() if not OF_THE_SERVER.match(name) and name != "lc_versions"}
    return {**kept, "timestamp": "…"} if "timestamp" in kept else kept


def stream(client: httpx.Client, **fields: Any) -> list[Sent]:
    """The events of a run of the graph on a fresh thread."""
    thread_id = client.post("/threads", json={}).json()["thread_id"]
    body = {"assistant_id": "talk", "input": HI, **fields}
    with client.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        assert response.status_code == 200, response.read()
        return list(events_of("".join(response.iter_text())))


def main() -> None:
    """Record all scenarios."""
    with httpx.Client(base_url=sys.argv[1], timeout=60, trust_env=False) as client:
        found = {name: normalised(stream(client, **fields)) for name, fields in SCENARIOS.items()}
    RECORDED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
