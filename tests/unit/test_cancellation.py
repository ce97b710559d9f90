"""A cancel of several runs of a thread stops those that wait before the one that is under way."""

from typing import Any, cast

import pytest

from handler.domain.models import CancelAction, Run, Thread, utc_now
from handler.domain.status import RunStatus, ThreadStatus
from handler.runs.cancellation import Cancellation


class Known:
    """Knows every run that it is asked for."""

    def get(self, tenant: str, thread_id: str, run_id: str) -> Run:
        """A run under way."""
        now = utc_now()
        return Run(tenant, thread_id, run_id, "a", "g", RunStatus.RUNNING, now, now, "enqueue")


class Noting(Cancellation):
    """Notes what it is to stop."""

    def __init__(self) -> None:
        runs: Any = Known()
        nothing = cast("Any", None)
        super().__init__(nothing, runs, nothing, nothing)
        self.stopped: list[str] = []

    async def cancel(self, run: Run, action: CancelAction) -> bool:
        """Note it."""
        self.stopped.append(run.run_id)
        return True


@pytest.mark.parametrize("named", [("active", "first", "second"), ("first", "active", "second")])
async def test_the_run_under_way_comes_last_since_with_its_end_the_next_one_begins(named: tuple[str, ...]) -> None:
    now = utc_now()
    thread = Thread("t", "thread", ThreadStatus.IDLE, now, now, active_run="active", queue=("first", "second"))
    cancellation = Noting()
    assert await cancellation.cancel_named(thread, named, CancelAction.INTERRUPT) == 3
    assert cancellation.stopped == ["first", "second", "active"]
