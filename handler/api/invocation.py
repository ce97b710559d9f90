"""How long a request may wait, and a run be driven, within what the gateway and Lambda leave of an invocation."""

import time
from dataclasses import dataclass

from fastapi import Request

from handler.api.gateway import spent_s
from handler.api.services import Services
from handler.domain.models import to_ms

WINDOW_MARGIN_S = 4.0
"""How long before the gateway gives up a wait is answered, in seconds; at most a fifth of its time."""

CLOSING_MARGIN_S = 10.0
"""How long before the platform ends an invocation its stream is broken off, in seconds; at most a tenth of its time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long things may last, in seconds; None: as long as they take."""

    window_s: float | None
    """The answer: until then it is complete, or broken off."""
    limit_s: float | None
    """A run that is driven here: beyond it, another driver goes on."""


def buffered(request: Request) -> bool:
    """Whether the answer goes out as one body, once it is complete."""
    return "aws.context" in request.scope


def bounds_of(request: Request, services: Services, asked_s: float | None) -> Bounds:
    """The bounds of a request that is to be answered within `asked_s` seconds, if that is not None."""
    remaining = remaining_s(request)
    if remaining is None:
        return Bounds(asked_s, None)
    if buffered(request):
        spent = spent_s(request.scope.get("aws.event") or {}, to_ms(services.clock()))
        window_s = window_of(services.settings.gateway_timeout_seconds, remaining, asked_s, spent)
    else:
        closing_s = remaining - min(CLOSING_MARGIN_S, remaining / 10)
        window_s = closing_s if asked_s is None else min(closing_s, asked_s)
    return Bounds(window_s, remaining if services.hold.active else window_s)


def remaining_s(request: Request) -> float | None:
    """For how long Lambda lets the invocation go on, in seconds; None on a server that nobody bounds."""
    context = request.scope.get("aws.context")
    if context is not None:
        left_ms: int = context.get_remaining_time_in_millis()
        return left_ms / 1000
    deadline_ms = request.scope.get("aws.deadline_ms")
    return None if deadline_ms is None else max(deadline_ms / 1000 - time.time(), 0.0)


def window_of(gateway_s: float, remaining_s: float, asked_s: float | None, spent_s: float = 0.0) -> float:
    """How long a request may go on to wait, in seconds; `spent_s`: for how long the gateway has waited before."""
    margin = min(WINDOW_MARGIN_S, min(gateway_s, remaining_s) / 5)
    window = max(min(gateway_s - spent_s, remaining_s) - margin, 0.0)
    return window if asked_s is None else min(window, asked_s)
