"""The loop of the fault tests: who keeps the turn, and who is left alone until its lock is free."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.clockwork import TOLD, Clockwork, Deadlock, elsewhere, park

LONG_S = 0.15
"""Real seconds, far longer than the loop waits between two looks."""


@pytest.fixture
def loop() -> Iterator[Clockwork]:
    """A loop of its own."""
    loop = Clockwork()
    yield loop
    loop.close()


@pytest.fixture
def course(loop: Clockwork) -> Callable[..., list[str]]:
    """Lets pieces of work, each with its name, go by turns from the same instant; the names in order of their ends."""

    def run(**works: Callable[[], None]) -> list[str]:
        ended: list[str] = []

        async def one(name: str, work: Callable[[], None]) -> None:
            await asyncio.to_thread(work)
            ended.append(name)

        async def together() -> None:
            await asyncio.gather(*(one(name, work) for name, work in works.items()))

        loop.run_until_complete(together())
        return ended

    return run


def compute() -> None:
    """Work that takes long, and gives way to no other."""
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        pass


def ask_an_engine() -> None:
    """Work whose thread sleeps until somebody outside the loop has answered."""
    with elsewhere():
        time.sleep(LONG_S)


def nothing() -> None:
    """Work that ends at once."""


@pytest.mark.skipif(not TOLD, reason="the kernel does not say who sleeps")
def test_work_that_computes_for_long_keeps_its_turn(course: Callable[..., list[str]]) -> None:
    assert course(first=compute, second=nothing) == ["first", "second"]


def test_work_that_waits_for_an_engine_keeps_its_turn(course: Callable[..., list[str]]) -> None:
    assert course(first=ask_an_engine, second=nothing) == ["first", "second"]


def test_work_that_waits_for_a_lock_is_left_alone_until_it_is_free(course: Callable[..., list[str]]) -> None:
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            park(5)

    def wait() -> None:
        with lock:
            pass

    assert course(holder=hold, waiter=wait, other=nothing) == ["other", "holder", "waiter"]


def test_lock_that_work_lets_go_of_is_its_waiters_at_once(loop: Clockwork, course: Callable[..., list[str]]) -> None:
    lock, times = threading.Lock(), []

    def hold() -> None:
        lock.acquire()
        park(1)
        lock.release()
        park(1)

    def wait() -> None:
        with lock:
            times.append(loop.time())
            park(3)

    assert course(holder=hold, waiter=wait, idle=lambda: park(0)) == ["idle", "holder", "waiter"]
    assert times == [pytest.approx(1)]
    assert loop.time() == pytest.approx(4)


def test_locks_that_nobody_will_free_are_a_deadlock(
    course: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.clockwork.STUCK_S", 0.1)
    lock = threading.Lock()
    lock.acquire()
    with pytest.raises(Deadlock):
        course(waiter=lock.acquire)
    lock.release()
