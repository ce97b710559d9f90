"""An event loop whose time is a number and whose threads take turns, so that every run of a scenario is the same.

Nothing sleeps: when nothing is ready, the time of the next timer is now. Blocking work given to an executor runs on a
thread of its own, but only while the loop stands still; at each `park` it hands the turn back and goes on later.
Work that waits for a lock which other work holds is left alone until it has it. The kernel tells who waits for a lock
from who waits for a processor, so a busy machine changes nothing; where it does not say (macOS), real time decides.
"""

import asyncio
import contextvars
import re
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOOK_S = 0.02
"""Real seconds between two looks at work that neither ends nor parks.

A thread that waits for the interpreter wakes every 5 ms; one that slept through all of this waits for a lock.
"""

GLANCE_S = 0.002
"""Real seconds for which the loop waits, where the kernel does not say who sleeps, to see whether such work goes on."""

STUCK_S = 10.0
"""Real seconds after which it is a deadlock if nothing else can happen."""

ENDLESS_S = 120.0
"""Real seconds after which work that runs without ending or parking never will."""

TASKS = Path("/proc/self/task")
TOLD = TASKS.exists()
"""Whether the kernel says who sleeps."""

ASLEEP = re.compile(r"^State:\tS.*^voluntary_ctxt_switches:\t(\d+)$", re.MULTILINE | re.DOTALL)


class Deadlock(AssertionError):
    """Nothing can ever happen again, or a thread holds its turn without end."""


class Owner:
    """Whoever callbacks belong to: while it is frozen none of them runs, and they run in order when it is thawed."""

    def __init__(self) -> None:
        self.frozen = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self._backlog: list[tuple[Callable[..., Any], tuple[Any, ...], contextvars.Context]] = []

    def gate(self, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context) -> None:
        """Run a callback, or keep it for later."""
        if self.frozen:
            self._backlog.append((callback, args, context))
        else:
            callback(*args)

    def thaw(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on."""
        self.frozen = False
        backlog, self._backlog = self._backlog, []
        for callback, args, context in backlog:
            loop.call_soon(callback, *args, context=context)


OWNER: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("owner", default=None)


class NoIO(selectors.SelectSelector):
    """A selector without files: waiting moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.somebody_goes_on: Callable[[], bool] = lambda: False
        """Looks whether blocked work goes on."""

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let so much time pass at once."""
        if self.somebody_goes_on():
            return []
        if timeout is None:
            deadline = time.monotonic() + STUCK_S
            while not self.somebody_goes_on():
                if time.monotonic() > deadline:
                    raise Deadlock("nothing is scheduled any more")
                time.sleep(LOOK_S)
            return []
        self.now += max(timeout, 0)
        return []


def taken_lock() -> threading.Lock:
    """A lock that is taken: one thread waits for it, another lets go of it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Job:
    """Blocking work that runs by turns with the loop."""

    def __init__(self, work: Callable[[], Any], done: "asyncio.Future[Any]") -> None:
        self.work = work
        self.done = done
        self.context = contextvars.copy_context()
        self.parked_s: float | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.turn = taken_lock()
        self.handed_back = taken_lock()
        self.hand: Hand | None = None
        self.sleep: int | None = None
        """The sleep in which the loop has left it: it waits for a lock until another begins."""
        self.elsewhere = False
        """Whether it waits for what has nothing to do with the loop, and keeps its turn."""

    def run(self) -> None:
        """Do the work, on a thread of the pool."""
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error


class Pool:
    """Threads that wait for jobs; shared by all loops, since making a thread costs more than a job."""

    def __init__(self) -> None:
        self.idle: list[Hand] = []

    def hand(self) -> "Hand":
        """A thread that is free."""
        return self.idle.pop() if self.idle else Hand(self)


class Hand:
    """One thread of the pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.job: Job | None = None
        self.called = taken_lock()
        self.thread = threading.Thread(target=self._serve, name="hand", daemon=True)
        self.thread.start()

    def begin(self, job: Job) -> None:
        """Take a job."""
        self.job = job
        job.hand = self
        self.called.release()

    def asleep(self) -> int | None:
        """The number of the thread's present sleep; None if it runs, or waits for a processor; 0 if nobody can say."""
        if not TOLD:
            return 0
        found = ASLEEP.search((TASKS / str(self.thread.native_id) / "status").read_text())
        return int(found[1]) if found else None

    def _serve(self) -> None:
        while True:
            self.called.acquire()
            job = self.job
            assert job is not None
            HERE.job = job
            job.run()
            HERE.job = None
            self.job = None
            job.parked_s = None
            job.hand = None
            self.pool.idle.append(self)
            job.handed_back.release()
            del job


POOL = Pool()


class Here(threading.local):
    """The job of the present thread."""

    job: Job | None = None


HERE = Here()


def park(seconds: float) -> None:
    """Hand the turn back for so long; only within a job."""
    job = HERE.job
    if job is None:
        raise AssertionError("a blocking call on the event loop")
    job.parked_s = seconds
    job.handed_back.release()
    job.turn.acquire()


@contextmanager
def elsewhere() -> Iterator[None]:
    """Keep the turn while an engine outside the loop answers, however long it takes."""
    job = HERE.job
    if job is None:
        yield
        return
    job.elsewhere = True
    try:
        yield
    finally:
        job.elsewhere = False


class Clockwork(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self._clock = NoIO()
        super().__init__(self._clock)
        self._blocked: list[Job] = []
        self._clock.somebody_goes_on = self._somebody_goes_on
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _loop, _context: None)  # what a killed process leaves behind

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._clock.now

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(coroutine, loop=loop, **options)
        context = options.get("context")
        owner = context.get(OWNER) if context is not None else OWNER.get()
        if owner is not None:
            owner.tasks.add(task)
            task.add_done_callback(owner.tasks.discard)
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As ever, through the gate of the callback's owner."""
        context = context if context is not None else contextvars.copy_context()
        owner = context.get(OWNER)
        if owner is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(owner.gate, callback, args, context, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As ever, through the gate of the callback's owner."""
        context = context if context is not None else contextvars.copy_context()
        owner = context.get(OWNER)
        if owner is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, owner.gate, callback, args, context, context=context)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """The caller has the turn, so nothing needs waking."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Any, *args: Any
    ) -> "asyncio.Future[Any]":
        """Start blocking work; there is a thread for everyone."""
        done: asyncio.Future[Any] = self.create_future()
        job = Job(lambda: func(*args), done)
        self.call_soon(self._begin, job, context=job.context)
        return done

    def _begin(self, job: Job) -> None:
        POOL.hand().begin(job)
        self._await_turn(job)

    def _resume(self, job: Job) -> None:
        job.turn.release()
        self._await_turn(job)

    def _await_turn(self, job: Job) -> None:
        if hands_back(job):
            self._go_on(job)
        else:
            self._blocked.append(job)
        self._somebody_goes_on()

    def _somebody_goes_on(self) -> bool:
        gone_on = False
        while woken := next((job for job in self._blocked if not sleeps_on(job)), None):
            if hands_back(woken):
                self._blocked.remove(woken)
                self._go_on(woken)
                gone_on = True
        return gone_on

    def _go_on(self, job: Job) -> None:
        if job.parked_s is not None:
            self.call_later(job.parked_s, self._resume, job, context=job.context)
            return
        if not job.done.done():
            if job.error is not None:
                job.done.set_exception(job.error)
            else:
                job.done.set_result(job.result)


def hands_back(job: Job) -> bool:
    """Wait until a job ends or parks; False if it waits for a lock that other work holds."""
    deadline = time.monotonic() + ENDLESS_S
    job.sleep = None
    while not job.handed_back.acquire(timeout=LOOK_S):
        if time.monotonic() > deadline:
            raise Deadlock("work has neither ended nor parked")
        hand = job.hand
        if hand is None or job.elsewhere:
            continue
        sleep = hand.asleep()
        if sleep is not None and sleep == job.sleep:
            return False
        job.sleep = sleep
    return True


def sleeps_on(job: Job) -> bool:
    """Whether a job still waits for the lock for which it was left."""
    if job.hand is None:
        return False
    if TOLD:
        return job.hand.asleep() == job.sleep
    if job.handed_back.acquire(timeout=GLANCE_S):
        job.handed_back.release()
        return False
    return True
