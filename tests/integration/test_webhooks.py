"""Webhooks are told at least once, whatever dies when, and not for ever; runs that are put off survive their timers."""

from collections.abc import Mapping
from datetime import timedelta
from http.client import RemoteDisconnected
from itertools import pairwise
from typing import Any

import pytest

from handler.domain.messages import Wake
from handler.domain.models import CancelAction, Run, new_run_id, system_assistant_id
from handler.domain.status import RunStatus
from handler.errors import Invalid, StorageUnavailable
from handler.runs.attendant import TEMPORARY_THREADS_LIVE
from handler.runs.targets import Targets
from handler.runs.webhooks import PAUSES_S
from tests.engines import Engine
from tests.integration.desk import BEGINNING, TENANT, Desk

URL = "https://hooks.example/x"


class Hook(Targets):
    """A webhook that answers as the test says."""

    def __init__(self) -> None:
        super().__init__(lookup=lambda _host, _port: ["93.184.216.34"])
        self.answers: list[int | Exception] = []
        self.told: list[bytes] = []

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.told.append(body)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(scope="module")
def hook() -> Hook:
    return Hook()


@pytest.fixture(scope="module")
def shared(engine: Engine, hook: Hook) -> Desk:
    return Desk(engine, targets=hook)


@pytest.fixture
def desk(shared: Desk, hook: Hook) -> Desk:
    shared.now = BEGINNING
    shared.posted.clear()
    hook.told.clear()
    hook.answers.clear()
    return shared


def admitted(desk: Desk, thread_id: str | None = None, **changed: Any) -> Run:
    """A run that waits for a worker."""
    kwargs = {"input": {"n": 1}, "webhook": URL, **changed.pop("kwargs", {})}
    run = Run(
        TENANT,
        thread_id or desk.thread(),
        new_run_id(),
        system_assistant_id("log"),
        "log",
        RunStatus.PENDING,
        desk.now,
        desk.now,
        "enqueue",
        kwargs=kwargs,
        **changed,
    )
    desk.services.admission.admit(run, inline=False)
    desk.send(run.tenant, run.thread_id, run.run_id)
    return run


def kept(desk: Desk, run: Run) -> Run:
    found = desk.services.runs.get(TENANT, run.thread_id, run.run_id)
    assert found is not None
    return found


def live(desk: Desk, seconds: float) -> None:
    """Let time pass, delivering each message when it is due."""
    until = desk.now + timedelta(seconds=seconds)
    for _ in range(200):
        coming = sorted((one for one in desk.posted if one.due <= until), key=lambda one: one.due)
        if not coming:
            break
        desk.now = max(desk.now, coming[0].due)
        desk.posted.remove(coming[0])
        desk.take(coming[0].message)
    else:
        raise AssertionError("messages beget messages without end")
    desk.now = until


def test_a_webhook_is_told_once_when_all_goes_well(desk: Desk, hook: Hook) -> None:
    run = admitted(desk)
    live(desk, 3600)
    assert len(hook.told) == 1
    assert (kept(desk, run).webhook_attempts, kept(desk, run).webhook_sent_at) == (1, BEGINNING)
    assert desk.posted == []


@pytest.mark.parametrize(
    "failure", [500, 404, 302, ConnectionRefusedError(), RemoteDisconnected("gone"), Invalid("moved inside")]
)
def test_a_webhook_that_fails_is_told_again(desk: Desk, hook: Hook, failure: int | Exception) -> None:
    hook.answers[:] = [failure, failure]
    run = admitted(desk)
    live(desk, 3600)
    assert len(hook.told) == 3
    assert kept(desk, run).webhook_attempts == 3
    assert desk.posted == []


def test_the_times_between_grow_and_have_an_end(desk: Desk, hook: Hook) -> None:
    hook.answers[:] = [500] * 100
    run = admitted(desk)
    told: list[float] = []
    for second in range(0, 3 * 3600, 5):
        live(desk, 5)
        while len(told) < len(hook.told):
            told.append(second)
    assert len(hook.told) == len(PAUSES_S)
    gaps = [later - sooner for sooner, later in pairwise(told)]
    assert all(abs(gap - pause) <= 10 for gap, pause in zip(gaps, PAUSES_S, strict=False))
    assert kept(desk, run).webhook_sent_at is not None
    assert desk.posted == []


@pytest.mark.parametrize("answers_last", [False, True], ids=["before the call", "after it"])
def test_wherever_a_process_dies_the_webhook_is_told(desk: Desk, hook: Hook, answers_last: bool) -> None:
    deaths = 0
    for call in range(1, 60):
        hook.told.clear()
        desk.posted.clear()
        run = admitted(desk)
        wake = Wake(TENANT, run.thread_id, run.run_id)
        (first,) = (one for one in desk.posted if one.due <= desk.now)
        desk.posted.remove(first)
        desk.take(wake)  # runs to its end, and sends the message that tells the webhook
        assert hook.told == []
        desk.posted = [one for one in desk.posted if one.due > desk.now]  # which is lost: the watchdog is left
        died = False
        desk.now += timedelta(seconds=70)
        with desk.dying_at(call, answers_last=answers_last):
            try:
                desk.take(wake)
            except StorageUnavailable:
                died = True
        deaths += died
        live(desk, 3600)
        assert 1 <= len(hook.told) <= 2, f"died with call {call}"
        assert kept(desk, run).webhook_sent_at is not None
        assert desk.posted == []
        if not died:
            break
    assert deaths >= 4


def test_ten_messages_at_once_tell_once(desk: Desk, hook: Hook) -> None:
    run = admitted(desk)
    desk.take(Wake(TENANT, run.thread_id, run.run_id))
    desk.posted.clear()
    loop, attendant = desk.services.loop, desk.services.attendant
    futures = [loop.submit(attendant.attend(TENANT, run.thread_id, run.run_id)) for _ in range(10)]
    for future in futures:
        future.result(30)
    assert len(hook.told) == 1


def test_the_thread_of_a_run_without_one_stays_until_its_webhook_is_told(desk: Desk, hook: Hook) -> None:
    hook.answers[:] = [500] * 5
    run = admitted(desk, kwargs={"temporary": True})
    live(desk, sum(PAUSES_S[:4]))
    assert kept(desk, run).ended
    live(desk, 3600 + 2 * TEMPORARY_THREADS_LIVE.total_seconds())
    assert len(hook.told) == 6
    assert desk.services.threads.get(TENANT, run.thread_id) is None


def test_a_run_that_is_gone_tells_nobody(desk: Desk, hook: Hook) -> None:
    run = admitted(desk)
    desk.services.loop.submit(desk.services.cancellation.cancel(run, CancelAction.ROLLBACK)).result(30)
    live(desk, 3600)
    assert hook.told == []


# --- runs that are put off --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0.5, 40])
def test_a_run_that_is_put_off_starts_at_its_time(desk: Desk, days: float) -> None:
    due = desk.now + timedelta(days=days)
    run = admitted(desk, due_at=due)
    live(desk, timedelta(days=days).total_seconds() - 1)
    assert kept(desk, run).status is RunStatus.PENDING
    live(desk, 2)
    assert kept(desk, run).started_at == due


def test_a_timer_that_comes_early_and_often_starts_it_once_at_its_time(desk: Desk) -> None:
    due = desk.now + timedelta(hours=1)
    run = admitted(desk, due_at=due)
    for _ in range(5):
        desk.take(Wake(TENANT, run.thread_id, run.run_id))
    live(desk, 3600)
    assert (kept(desk, run).attempt, kept(desk, run).started_at) == (1, due)


@pytest.mark.parametrize("answers_last", [False, True], ids=["before the call", "after it"])
def test_wherever_a_process_dies_a_run_that_is_put_off_runs_once_or_was_never_accepted(
    desk: Desk, answers_last: bool
) -> None:
    thread_id = desk.thread()
    refused = 0
    for call in range(1, 20):
        desk.posted.clear()
        desk.now += timedelta(hours=2)
        died = False
        due = desk.now + timedelta(hours=1)
        with desk.dying_at(call, answers_last=answers_last):
            try:
                run = admitted(desk, thread_id, due_at=due)
            except StorageUnavailable:
                died = True
        live(desk, 3700)
        found = [one for one in desk.runs(thread_id) if one.due_at == due]
        assert all((one.status, one.attempt) == (RunStatus.SUCCESS, 1) for one in found), f"died with call {call}"
        assert desk.services.threads.get(TENANT, thread_id).delayed == ()  # type: ignore[union-attr]
        refused += not found
        if not died:
            assert [one.run_id for one in found] == [run.run_id]
            break
    assert refused >= 1


def test_a_late_run_on_a_full_line_comes_later(desk: Desk) -> None:
    thread_id = desk.thread()
    run = admitted(desk, thread_id, due_at=desk.now + timedelta(seconds=10), kwargs={"webhook": None})
    for _ in range(60):
        admitted(desk, thread_id, kwargs={"webhook": None})
    desk.now += timedelta(seconds=20)
    thread = desk.services.threads.get(TENANT, thread_id)
    assert thread is not None
    assert len(thread.queue) == 60
    desk.posted.clear()
    desk.take(Wake(TENANT, thread_id, run.run_id))
    assert desk.services.threads.get(TENANT, thread_id) == thread
    (again,) = desk.posted
    assert again.due > desk.now
    assert kept(desk, run).status is RunStatus.PENDING
