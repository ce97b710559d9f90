"""Compares what two servers answered: ids by their relations, times by their form, the wording of errors not at all."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.difference.exchange import Exchange

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")
ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """Where one answer differs from the other; `at` has no positions, so that a reason can name it."""

    scenario: str
    call: str
    at: str
    reference: Any
    ours: Any

    def __str__(self) -> str:
        """One line of a report."""
        return f"{self.scenario} | {self.call} | {self.at} | {shortened(self.reference)} | {shortened(self.ours)}"


def shortened(value: Any) -> str:
    """A value that fits in a line."""
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


@dataclass
class Pairs:
    """Which id of ours stands for which of the reference: one for one, as long as a scenario lasts."""

    ours: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)

    def match(self, theirs: str, ours: str) -> bool:
        """Whether two ids stand for each other; they do from now on, if neither stood for another."""
        if theirs not in self.ours and ours not in self.theirs:
            self.ours[theirs], self.theirs[ours] = ours, theirs
        return self.ours.get(theirs) == ours

    def same_text(self, theirs: str, ours: str) -> bool:
        """Whether two texts say the same, but for the ids in them."""
        theirs, ours = PORT.sub("port", theirs), PORT.sub("port", ours)
        if ID.sub("#", theirs) != ID.sub("#", ours):
            return False
        return all(self.match(*pair) for pair in zip(ID.findall(theirs), ID.findall(ours), strict=True))


def differences(scenario: str, theirs: list[Exchange], ours: list[Exchange]) -> list[Difference]:
    """All differences between two transcripts of a scenario."""
    pairs = Pairs()
    found = []
    for one, other in zip(theirs, ours, strict=False):
        call = ID.sub("…", one.call)
        for at, expected, seen in compared(pairs, one, other):
            found.append(Difference(scenario, call, at, expected, seen))
    if len(theirs) != len(ours):
        longer = max(theirs, ours, key=len)
        call = ID.sub("…", longer[min(len(theirs), len(ours))].call)
        counts = [f"{len(one)} answers" for one in (theirs, ours)]
        found.append(Difference(scenario, call, "calls", *counts))
    return found


def compared(pairs: Pairs, theirs: Exchange, ours: Exchange) -> Iterator[tuple[str, Any, Any]]:
    """Where two answers differ."""
    if theirs.status != ours.status:
        yield "status", f"{theirs.status} {shortened(theirs.body)}", f"{ours.status} {shortened(ours.body)}"
        return
    yield from walked(pairs, "header", theirs.headers, ours.headers)
    if theirs.status >= 400:
        yield from walked(pairs, "body", wordless(theirs.body), wordless(ours.body))
    else:
        yield from walked(pairs, "body", theirs.body, ours.body)


def wordless(body: Any) -> Any:
    """The body of an error without its wording."""
    if isinstance(body, dict) and isinstance(body.get("detail"), str):
        return {**body, "detail": "(some text)"}
    return body


def walked(pairs: Pairs, at: str, theirs: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    """Where two values differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        yield from walked_objects(pairs, at, theirs, ours)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{at}.length", f"{len(theirs)}: {theirs}", f"{len(ours)}: {ours}"
        for one, other in zip(theirs, ours, strict=False):
            yield from walked(pairs, f"{at}[]", one, other)
    elif isinstance(theirs, str) and isinstance(ours, str):
        if not same_time(theirs, ours) and not pairs.same_text(theirs, ours):
            yield at, theirs, ours
    elif type(theirs) is not type(ours) or theirs != ours:
        yield at, theirs, ours


def walked_objects(
    pairs: Pairs, at: str, theirs: dict[str, Any], ours: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Where two objects differ; their names may be ids, or hold some."""
    left = dict(ours)
    for name, value in sorted(theirs.items(), key=lambda item: bool(ID.search(item[0]))):
        other = next((one for one in left if one == name), None)
        if other is None and ID.search(name):
            other = next((one for one in left if ID.search(one) and pairs.same_text(name, one)), None)
        shown = ID.sub("#", name)
        if other is None:
            yield f"{at}.{shown}", value, ABSENT
        else:
            yield from walked(pairs, f"{at}.{shown}", value, left.pop(other))
    for name, value in left.items():
        yield f"{at}.{ID.sub('#', name)}", ABSENT, value


def same_time(theirs: str, ours: str) -> bool:
    """Whether both are points in time, with a zone or both without."""
    one, other = TIME.fullmatch(theirs), TIME.fullmatch(ours)
    return bool(one and other and bool(one[2]) == bool(other[2]))
