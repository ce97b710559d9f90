"""Metadata filter alike wherever they are searched: by containment, as jsonb's `@>` has it."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.contract.calls import Json

METADATA = {"number": 1, "flag": True, "none": None, "list": [1, {"a": 2, "b": 3}], "nest": {"x": {"y": "z"}, "w": []}}
NEVER_SOON = {"schedule": "0 0 1 1 *"}


@dataclass(frozen=True)
class Kind:
    """What can be searched by metadata."""

    path: str
    body: Json
    id_name: str

    def __str__(self) -> str:
        """How the tests are named."""
        return self.path.rpartition("/")[2]


KINDS = [
    Kind("/threads", {}, "thread_id"),
    Kind("/assistants", {"graph_id": "log"}, "assistant_id"),
    Kind("/runs/crons", {"assistant_id": "log", **NEVER_SOON}, "cron_id"),
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def marked(request: pytest.FixtureRequest, api: httpx.Client) -> Iterator[tuple[Kind, Json]]:
    """One of each kind with the metadata, and a mark by which no other is found."""
    kind: Kind = request.param
    mark = {"mark": uuid.uuid4().hex}
    made = api.post(kind.path, json={**kind.body, "metadata": {**METADATA, **mark}}).raise_for_status().json()
    yield kind, mark
    api.delete(f"{kind.path}/{made[kind.id_name]}").raise_for_status()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        *(({name: value}, True) for name, value in METADATA.items()),
        ({"number": 1.0}, True),
        ({"number": True}, False),
        ({"number": "1"}, False),
        ({"flag": 1}, False),
        ({"none": False}, False),
        ({"missing": None}, False),
        ({"nest": {}}, True),
        ({"nest": {"x": {}}}, True),
        ({"nest": {"x": {"y": "a"}}}, False),
        ({"nest": {"x": "z"}}, False),
        ({"list": []}, True),
        ({"list": [1]}, True),
        ({"list": [{"b": 3}, 1, 1]}, True),
        ({"list": [True]}, False),
        ({"list": [1, 2]}, False),
        ({"list": 1}, False),
        ({"number": [1]}, False),
    ],
    ids=str,
)
def test_metadata_filter_alike_everywhere(
    wanted: Json, found: bool, marked: tuple[Kind, Json], api: httpx.Client
) -> None:
    kind, mark = marked
    body: dict[str, Any] = {"metadata": {**mark, **wanted}}
    assert len(api.post(f"{kind.path}/search", json=body).raise_for_status().json()) == int(found)
    assert api.post(f"{kind.path}/count", json=body).raise_for_status().json() == int(found)
