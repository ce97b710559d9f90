"""Scenarios: what is done on both servers alike, each on a thread of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.difference.session import Session


@dataclass(frozen=True)
class Scenario:
    """A conversation with a server."""

    area: str
    name: str
    play: Callable[[Session], None]

    def __str__(self) -> str:
        """How reasons and reports name it."""
        return f"{self.area}: {self.name}"


@dataclass
class Area:
    """The scenarios of one part of the API, in the order in which they are written."""

    name: str
    scenarios: list[Scenario] = field(default_factory=list)

    def scenario(self, play: Callable[[Session], None]) -> Callable[[Session], None]:
        """A scenario named by its function."""
        self.scenarios.append(Scenario(self.name, sentence(play), play))
        return play

    def each(self, cases: Mapping[str, Any]) -> Callable[[Callable[[Session, Any], None]], None]:
        """One scenario for each row of a table: its label, and what differs."""

        def register(play: Callable[[Session, Any], None]) -> None:
            for label, case in cases.items():
                name = f"{sentence(play)}: {label}"
                self.scenarios.append(Scenario(self.name, name, bound(play, case)))

        return register


def bound(play: Callable[[Session, Any], None], case: Any) -> Callable[[Session], None]:
    """A scenario with its row of the table."""
    return lambda session: play(session, case)


def sentence(play: Callable[..., None]) -> str:
    """The words of a function's name."""
    return play.__name__.strip("_").replace("_", " ")
