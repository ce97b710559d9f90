"""Notes with each test how many faults it has tried; `tests/conftest.py` prints the sums."""

from collections.abc import Iterator
from dataclasses import astuple

import pytest

from tests.faults.trials import TALLY, Tally


@pytest.fixture(autouse=True)
def faults_tried(request: pytest.FixtureRequest) -> Iterator[None]:
    """By scenario: calls of the undisturbed one, faults tried, violations; the tests may run in several processes."""
    before = {name: astuple(tally) for name, tally in TALLY.items()}
    yield
    for name, tally in TALLY.items():
        _, tried, violations = before.get(name, astuple(Tally()))
        new = (name, tally.calls, tally.tried - tried, tally.violations - violations)
        if before.get(name) != astuple(tally):
            request.node.user_properties.append(("faults", new))
