"""The comparison with the reference sees what differs, and lets nothing pass but what it is meant to."""

from typing import Any

import pytest

from tests.difference.areas import AREAS
from tests.difference.comparison import Difference, differences
from tests.difference.exchange import Exchange, events_of
from tests.difference.reasons import REASONS, Reason, explained

ONE, TWO, THREE, FOUR = (f"0000000{number}-0000-4000-8000-000000000000" for number in range(1, 5))


def found(theirs: Any, ours: Any, status: int = 200) -> list[str]:
    """Where two answers differ."""
    return [
        one.at
        for one in differences("s", [Exchange("GET /", status, {}, theirs)], [Exchange("GET /", status, {}, ours)])
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"id": ONE}, {"id": TWO}),
        ({"id": ONE, "path": f"/threads/{ONE}"}, {"id": TWO, "path": f"/threads/{TWO}"}),
        ({ONE: [1], "own": ONE}, {TWO: [1], "own": TWO}),
        ({"at": "2026-01-01T00:00:00+00:00"}, {"at": "2026-02-02T00:00:00.123456Z"}),
        ({"ns": f"child:{ONE}"}, {"ns": f"child:{TWO}"}),
        ([{"a": 1}, None], [{"a": 1}, None]),
    ],
)
def test_answers_that_say_the_same_do_not_differ(theirs: Any, ours: Any) -> None:
    assert found(theirs, ours) == []


@pytest.mark.parametrize(
    ("theirs", "ours", "at"),
    [
        ({"a": 1}, {"a": 2}, ["body.a"]),
        ({"a": 1}, {"a": True}, ["body.a"]),
        ({"a": 1}, {"a": 1.0}, ["body.a"]),
        ({"a": None}, {}, ["body.a"]),
        ({}, {"a": None}, ["body.a"]),
        ([1, 2], [2, 1], ["body[]", "body[]"]),
        ([1], [1, 1], ["body.length"]),
        ({"a": ONE, "b": ONE}, {"a": TWO, "b": THREE}, ["body.b"]),
        ({"a": ONE, "b": TWO}, {"a": THREE, "b": THREE}, ["body.b"]),
        ({"at": "2026-01-01T00:00:00Z"}, {"at": "2026-01-01T00:00:00"}, ["body.at"]),
        ({"at": "2026-01-01T00:00:00Z"}, {"at": None}, ["body.at"]),
        (f"/threads/{ONE}", f"/runs/{TWO}", ["body"]),
    ],
)
def test_answers_that_differ_are_told_apart(theirs: Any, ours: Any, at: list[str]) -> None:
    assert found(theirs, ours) == at


def test_an_id_stands_for_the_same_one_in_a_whole_scenario() -> None:
    theirs = [Exchange("POST /threads", 200, {}, {"id": ONE}), Exchange(f"GET /threads/{ONE}", 200, {}, {"id": ONE})]
    ours = [Exchange("POST /threads", 200, {}, {"id": TWO}), Exchange(f"GET /threads/{TWO}", 200, {}, {"id": FOUR})]
    assert [(one.call, one.at) for one in differences("s", theirs, ours)] == [("GET /threads/…", "body.id")]


def test_the_wording_of_errors_is_free_and_their_shape_is_not() -> None:
    assert found({"detail": "no"}, {"detail": "nope"}, status=404) == []
    assert found({"detail": "no"}, {"message": "nope"}, status=404) == ["body.detail", "body.message"]
    assert found({"detail": "no"}, {"detail": "nope"}) == ["body.detail"]


def test_statuses_headers_and_missing_calls_are_seen() -> None:
    theirs = [Exchange("GET /", 200, {"location": "/a"}, None), Exchange("GET /b", 200, {}, None)]
    assert [one.at for one in differences("s", theirs, [Exchange("GET /", 404, {}, None)])] == ["status", "calls"]
    assert [one.at for one in differences("s", theirs, [Exchange("GET /", 200, {}, None)])] == [
        "header.location",
        "calls",
    ]


def test_the_events_of_a_stream_are_told_with_their_data() -> None:
    text = ': heartbeat\n\nevent: values\ndata: {"a": 1}\nid: 7\n\nevent: end\ndata: \n\n'
    assert events_of(text) == [
        {"event": "values", "data": {"a": 1}, "id": True},
        {"event": "end", "data": None, "id": False},
    ]


def test_a_reason_explains_only_what_it_names() -> None:
    reason = Reason("because", r"body\.a", "threads: create.*")
    difference = Difference("threads: create: nothing", "POST /threads", "body.a", 1, 2)
    assert explained(difference, [reason]) is reason
    for other in (
        Difference("threads: search", "POST /threads/search", "body.a", 1, 2),
        Difference("threads: create: nothing", "POST /threads", "body.ab", 1, 2),
        Difference("threads: create: nothing", "POST /threads", "status", 1, 2),
    ):
        assert explained(other, [reason]) is None


def test_no_reason_excuses_everything_everywhere() -> None:
    assert [one for one in REASONS if one.scenarios == ".*" and one.at in (".*", "status", r"body\..*")] == []


def test_the_scenarios_are_many_in_every_area_and_each_has_a_name_of_its_own() -> None:
    names = [str(scenario) for area in AREAS for scenario in area.scenarios]
    assert len(set(names)) == len(names)
    assert len(names) >= 250
    assert min(len(area.scenarios) for area in AREAS) >= 10
