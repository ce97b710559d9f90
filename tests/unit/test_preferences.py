"""How long a wait may last: what the caller prefers, what the gateway and the invocation leave."""

import pytest
from starlette.requests import Request

from handler.api.invocation import window_of
from handler.api.waits import Preferences


def preferred(header: bytes | None) -> Preferences:
    headers = [] if header is None else [(b"prefer", header)]
    return Preferences.of(Request({"type": "http", "headers": headers}))


@pytest.mark.parametrize(
    ("header", "wait_s", "respond_async", "applied"),
    [
        (None, None, False, {}),
        (b"", None, False, {}),
        (b"wait=5", 5.0, False, {"Preference-Applied": "wait=5"}),
        (b'wait="5"', 5.0, False, {"Preference-Applied": "wait=5"}),
        (b"wait=0", 0.0, False, {"Preference-Applied": "wait=0"}),
        (b"respond-async", None, True, {"Preference-Applied": "respond-async"}),
        (b"respond-async, WAIT=10", 10.0, True, {"Preference-Applied": "wait=10, respond-async"}),
        (b"return=minimal", None, False, {}),
        (b"wait=-1", None, False, {}),
        (b"wait=soon", None, False, {}),
        (b"wait=1.5", None, False, {}),
        (b"wait=\xb2", None, False, {}),
        (b"wait", None, False, {}),
    ],
)
def test_what_can_be_read_is_heeded_and_the_rest_ignored(
    header: bytes | None, wait_s: float | None, respond_async: bool, applied: dict[str, str]
) -> None:
    preferences = preferred(header)
    assert (preferences.wait_s, preferences.respond_async) == (wait_s, respond_async)
    assert preferences.applied == applied


@pytest.mark.parametrize(
    ("gateway_s", "remaining_s", "asked_s", "window_s"),
    [
        (29, 900, None, 25),
        (29, 20, None, 16),
        (5, 900, None, 4),
        (29, 900, 10, 10),
        (29, 900, 60, 25),
        (29, 900, 0, 0),
    ],
)
def test_a_window_closes_before_gateway_and_invocation_do_and_when_the_caller_wants(
    gateway_s: float, remaining_s: float, asked_s: float | None, window_s: float
) -> None:
    assert window_of(gateway_s, remaining_s, asked_s) == window_s
