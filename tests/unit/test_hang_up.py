"""Whoever follows a run live may hang up: which runs are cancelled then."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from handler.api.sse import Asked, live
from handler.domain.events import BEFORE_ALL
from handler.domain.lease import Lease
from handler.domain.models import CancelAction, Claim, Run, utc_now
from handler.domain.status import RunStatus
from handler.runs.channels import Channels
from handler.runs.follower import Follower, Streams

INTERRUPT = {"__interrupt__": [{"id": "i", "value": "sure?"}]}


class Loop:
    """A graph loop that is the test's own."""

    async def run(self, work: Any) -> Any:
        """Await the work."""
        return await work

    def submit(self, work: Any) -> Any:
        """Begin the work."""
        return asyncio.ensure_future(work)


async def cancelled(name: str, data: Any, *, cancels: bool = True) -> list[CancelAction]:
    """How a run is stopped whose follower hangs up after an event."""
    now = utc_now()
    run = Run("t", "thread", "run", "a", "g", RunStatus.RUNNING, now, now, "enqueue", kwargs={"stream": True})
    channels = Channels(None, 0)
    streams = Streams(None, channels, None)  # type: ignore[arg-type]  # neither is asked for a run that is driven here
    follower = Follower(streams, run, BEFORE_ALL)
    follower.channel.begin(Claim(run, Lease("o", 1, 0), clean=True, resumes=False))
    follower.channel.publish(1, name, data)
    found: list[CancelAction] = []

    async def cancel(_run: Run, action: CancelAction) -> None:
        found.append(action)

    services: Any = SimpleNamespace(loop=Loop(), cancellation=SimpleNamespace(cancel=cancel))
    body: Any = live(services, follower, Asked(after=BEFORE_ALL, cancels=cancels), None)
    await anext(body)
    await body.aclose()
    await asyncio.sleep(0)
    return found


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("values", {"notes": ["__interrupt__"]}),
        ("updates", {"node": {"__interrupt__": "within what a node returned"}}),
        ("custom", INTERRUPT),
        ("messages", ["__interrupt__", {}]),
    ],
)
async def test_a_hang_up_cancels_the_run(name: str, data: Any) -> None:
    assert await cancelled(name, data) == [CancelAction.INTERRUPT]
    assert await cancelled(name, data, cancels=False) == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("updates", INTERRUPT),
        ("updates|child:1", INTERRUPT),
        ("values", {"notes": [], **INTERRUPT}),
        ("updates", {"type": "event", "method": "updates", "params": {"data": INTERRUPT}}),
    ],
    ids=["root", "subgraph", "values", "protocol"],
)
async def test_a_run_that_has_told_of_an_interrupt_is_left_to_end_by_itself(name: str, data: Any) -> None:
    assert await cancelled(name, data) == []
