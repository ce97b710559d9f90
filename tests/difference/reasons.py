"""The differences from the reference that are meant, each with its reason; docs/compatibility.md shows them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.difference.comparison import Difference


@dataclass(frozen=True)
class Reason:
    """Why answers may differ; the patterns are regular expressions that have to match as a whole."""

    text: str
    at: str
    """Where: `status`, `header.NAME`, `calls` or `body.…`."""
    scenarios: str = ".*"
    """Which scenarios: `area: name`."""

    def explains(self, difference: Difference) -> bool:
        """Whether a difference is meant."""
        return bool(re.fullmatch(self.at, difference.at) and re.fullmatch(self.scenarios, difference.scenario))


REASONS: tuple[Reason, ...] = ()


def explained(difference: Difference, reasons: Iterable[Reason] = REASONS) -> Reason | None:
    """The first reason for a difference; None if it has none."""
    return next((one for one in reasons if one.explains(difference)), None)
