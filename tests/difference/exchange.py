"""One call as a scenario made it, and what a server answered: status, the headers that matter, and the body."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

HEADERS = ("location", "content-location", "content-type", "x-pagination-total", "x-pagination-next")
"""The headers that clients act upon."""


@dataclass(frozen=True)
class Exchange:
    """A call and its answer; `call` names it alike on both servers."""

    call: str
    status: int
    headers: dict[str, str]
    body: Any

    def __getitem__(self, name: Any) -> Any:
        """A member of the body."""
        return self.body[name]


def exchange_of(call: str, response: httpx.Response, content: bytes) -> Exchange:
    """What of a response is compared."""
    headers = {name: response.headers[name] for name in HEADERS if name in response.headers}
    if "content-type" in headers:
        headers["content-type"] = headers["content-type"].partition(";")[0]
    return Exchange(call, response.status_code, headers, body_of(content, headers.get("content-type", "")))


def body_of(content: bytes, content_type: str) -> Any:
    """JSON as a value, a stream as the list of its events, anything else as text."""
    if content_type == "text/event-stream":
        return events_of(content.decode())
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream; of an id only whether there is one."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, separator, value = line.partition(":")
            if separator and name:
                fields[name] = fields.get(name, "") + value.removeprefix(" ")
        if fields:
            events.append({"event": fields.get("event"), "data": parsed(fields.get("data")), "id": "id" in fields})
    return events


def parsed(text: str | None) -> Any:
    """The data of an event as a value, if it is JSON."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
