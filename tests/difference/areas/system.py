"""What a server says of itself, and how it answers what nobody serves."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import Session

area = Area("system")


@area.scenario
def ok_answers(s: Session) -> None:
    s.get("/ok")


@area.scenario
def ok_answers_with_a_look_at_the_database(s: Session) -> None:
    s.get("/ok", params={"check_db": "1"})


@area.scenario
def info_has_the_fields_that_clients_read(s: Session) -> None:
    s.get("/info")


@area.scenario
def docs_are_a_page(s: Session) -> None:
    answer = s.quiet.get("/docs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html"


@area.scenario
def openapi_document_is_served(s: Session) -> None:
    answer = s.quiet.get("/openapi.json")
    assert answer.status == 200
    assert "/threads/{thread_id}/runs/wait" in answer["paths"]


@area.each(
    {
        "path": ("GET", "/nowhere"),
        "below a thread": ("GET", "/threads/11111111-2222-4333-8444-555555555555/nowhere"),
        "method": ("PUT", "/threads"),
        "method of one": ("PUT", "/threads/11111111-2222-4333-8444-555555555555"),
        "method of a wait": ("GET", "/runs/wait"),
    }
)
def unknown(s: Session, case: Any) -> None:
    s.call(*case)


@area.each(
    {
        "empty": b"",
        "broken": b'{"metadata": ',
        "two documents": b"{}{}",
        "not a number": b'{"metadata": {"a": NaN}}',
        "infinite number": b'{"metadata": {"a": 1e999}}',
        "array": b"[]",
        "string": b'"x"',
        "null": b"null",
        "number": b"1",
        "invalid encoding": b'{"metadata": {"a": "\xff"}}',
        "form": b"a=1&b=2",
    }
)
def body_of_a_thread_that_is_no_object(s: Session, content: bytes) -> None:
    s.post("/threads", content=content, headers={"content-type": "application/json"})


@area.each({"plain text": "text/plain", "form": "application/x-www-form-urlencoded", "none": ""})
def content_type_does_not_matter(s: Session, kind: str) -> None:
    s.post("/threads", content=b'{"metadata": {"a": 1}}', headers={"content-type": kind} if kind else {})
