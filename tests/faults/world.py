"""The world of a scenario: processes over one table and one queue, and the faults that befall their calls.

A process is one `build_services(...)` with a client and a queue of its own. Each storage or queue call travels for a
moment, takes effect at one instant, and its answer travels back; calls are numbered by the instant of their effect.
"""

import asyncio
import contextvars
import random
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from botocore.exceptions import ClientError, ReadTimeoutError

from handler.api.services import Services
from handler.bootstrap import build_services
from handler.domain.models import Run, Thread, system_assistant_id
from handler.domain.status import RunStatus, ThreadStatus
from handler.errors import StorageUnavailable
from handler.runs.driver import Limits
from handler.runs.waiter import JITTER
from handler.settings import Settings
from tests.faults.clockwork import OWNER, Clockwork, Owner, elsewhere, park
from tests.faults.dictionary import READS, Dictionary

Result = TypeVar("Result")

GRAPHS = Path(__file__).parents[1] / "graphs" / "langgraph.json"
TENANT = "acme"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)

SETTINGS = Settings(table_name="t", langgraph_config=GRAPHS, queue_url="queue")

TRAVEL_S = (0.0005, 0.003)
"""How long a request or an answer travels, in virtual seconds."""

FROZEN_S = 800.0
"""How long a process stands still at most: its invocation is over after 15 minutes, and it with it."""

VISIBILITY_S = 900.0
"""When a message that was received and not deleted is received again."""

LATE_S = 20.0
"""How much later than its caller's giving up a delayed request takes effect."""

WINDOW_S = 3.0
"""When a wait is answered whose run has not ended; short, for a waiter asks the table twice a second."""

CLIENT_PATIENCE_S = 300.0
"""How long a client waits for an answer, in virtual seconds."""

PATIENCE_S = 6 * 3600.0
"""Virtual time after which a world that is still busy is taken for one that never rests."""


class Killed(BaseException):
    """The process is no more."""


class NeverRests(AssertionError):
    """Messages or tasks without end."""


class Fault(StrEnum):
    """What befalls a call."""

    KILL_BEFORE = "kill before"
    """The process is killed, and the call has no effect."""
    KILL_AFTER = "kill after"
    """The call has its effect, and the process is killed."""
    LOST = "response lost"
    """The call has its effect, and the process is told of a timeout."""
    LATE = "delayed"
    """The process is told of a timeout, and the call has its effect much later."""
    TWICE = "duplicated"
    """The call has its effect twice, and the process is told of the second."""
    THROTTLED = "throttled"
    """The call is refused without effect."""
    CONFLICT = "conflict"
    """The call is refused because a transaction is under way."""
    FROZEN_BEFORE = "frozen before"
    """The process stands still until all others rest, or its time is up, and then the call has its effect."""
    FROZEN_AFTER = "frozen after"
    """The call has its effect, and the process stands still until all others rest, or its time is up."""
    STALLED_BEFORE = "stalled before"
    """The process stands still until another takes the thread over, and then the call has its effect."""
    STALLED_AFTER = "stalled after"
    """The call has its effect, and the process stands still until another takes the thread over."""


READ_FAULTS = (Fault.KILL_BEFORE, Fault.THROTTLED, Fault.FROZEN_AFTER, Fault.STALLED_AFTER)
"""What can befall a call without effect; more would be the same again."""

SEND_FAULTS = tuple(fault for fault in Fault if fault is not Fault.CONFLICT)


def faults_of(operation: str) -> tuple[Fault, ...]:
    """The faults that make a difference to a call."""
    if operation in READS:
        return READ_FAULTS
    return SEND_FAULTS if operation == "send" else tuple(Fault)


@dataclass
class Message:
    """One message on the queue."""

    thread_id: str
    run_id: str
    hint: bool = False
    receipts: int = 0
    done: bool = False


@dataclass
class Asked:
    """A run that a client asked for, and what it was told."""

    name: str
    run: Run
    strategy: str
    n: int
    accepted: bool = False
    """Whether a client holds an answer that says so."""
    answer: Any = None
    error: BaseException | None = None
    stopped_by: set[str] = field(default_factory=set)
    """The actions by which clients asked for its end."""


class Process(Owner):
    """One process: services of its own, and a gate at its storage and its queue."""

    def __init__(self, world: "World", name: str, skew_s: float) -> None:
        super().__init__()
        self.world = world
        self.name = name
        self.skew_s = skew_s
        self.dead = False
        self.touched = False
        """Whether a fault has befallen it."""
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)
        self.services: Services = build_services(
            SETTINGS,
            dynamodb=cast("Any", Client(self)),
            wakes=Wakes(self),
            limits=world.limits,
            clock=self.clock,
            sleep=park,
            monotonic=world.loop.time,
        )

    def clock(self) -> datetime:
        """This machine's time of day."""
        return BEGINNING + timedelta(seconds=self.world.loop.time() + self.skew_s)

    def spawn(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """Start work in this process."""
        return self.world.loop.create_task(work, context=self.context)

    def call(self, operation: str, detail: str, effect: Callable[[], Any]) -> Any:
        """Send a call on its way, with whatever befalls it."""
        self._travel()
        world = self.world
        fault = world.fault_at(self, operation, detail)
        if fault is not None:
            self.touched = True
        if fault in OUTRIGHT:
            self._fail(OUTRIGHT[fault], operation)
        if fault is Fault.LATE:
            world.later(LATE_S, lambda: quietly(lambda: world.act(self, effect)))
            raise timeout(operation)
        if fault in (Fault.FROZEN_BEFORE, Fault.STALLED_BEFORE):
            self._freeze(fault)
        if fault in UNHEARD:
            quietly(lambda: world.act(self, effect))
        if fault in AFTERWARDS:
            self._fail(AFTERWARDS[fault], operation)
        answer = world.act(self, effect)
        if fault in (Fault.FROZEN_AFTER, Fault.STALLED_AFTER):
            self._freeze(fault)
        if operation not in READS:  # what comes after a read is as well before the next call
            self._travel()
        return answer

    def _fail(self, error: Callable[[str], BaseException], operation: str) -> None:
        raised = error(operation)
        if isinstance(raised, Killed):
            self.kill()
        raise raised

    def _travel(self) -> None:
        park(self.world.random.uniform(*TRAVEL_S))
        if self.dead:
            raise Killed

    def _freeze(self, fault: Fault) -> None:
        self.frozen = True
        if fault in (Fault.STALLED_BEFORE, Fault.STALLED_AFTER):
            self.world.stalled.append(self)
        self.world.later(FROZEN_S, self.thaw_late)
        park(0)
        if self.dead:
            raise Killed

    def thaw_late(self) -> None:
        """Go on, if it has not gone on before."""
        if self.frozen:
            self.thaw(self.world.loop)

    def kill(self) -> None:
        """End the process: no call of it has an effect any more, and all its tasks end."""
        self.dead = True
        self.touched = True
        self.world.later(0, self._reap)

    def _reap(self) -> None:
        if self.tasks:
            for task in self.tasks:
                task.cancel()
            self.world.later(0.01, self._reap)


def quietly(effect: Callable[[], Any]) -> None:
    """Have the effect; nobody hears of a refusal."""
    try:
        effect()
    except ClientError:
        return


def timeout(operation: str) -> Exception:
    """What a caller sees when no answer comes."""
    if operation == "send":
        return StorageUnavailable("SQS SendMessage failed: ReadTimeoutError")
    return ReadTimeoutError(endpoint_url="dictionary")


def throttled(operation: str) -> Exception:
    """What a caller sees when it is refused for a time."""
    if operation == "send":
        return StorageUnavailable("SQS SendMessage failed: ClientError")
    response: Any = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
    return ClientError(response, operation)


def conflict(operation: str) -> Exception:
    """What a caller sees when another transaction is under way."""
    if operation == "transact_write_items":
        reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
        response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        return ClientError(response, operation)
    response = {"Error": {"Code": "TransactionConflictException", "Message": "Transaction is ongoing"}}
    return ClientError(response, operation)


def killed(_operation: str) -> BaseException:
    """What a process sees that is no more."""
    return Killed()


OUTRIGHT: dict[Fault | None, Callable[[str], BaseException]] = {
    Fault.KILL_BEFORE: killed,
    Fault.THROTTLED: throttled,
    Fault.CONFLICT: conflict,
}
"""Faults without effect, and what the process is told."""

AFTERWARDS: dict[Fault | None, Callable[[str], BaseException]] = {Fault.KILL_AFTER: killed, Fault.LOST: timeout}
"""Faults after the effect, and what the process is told."""

UNHEARD = (*AFTERWARDS, Fault.TWICE)
"""Faults whose effect comes without an answer."""


class Client:
    """A process's DynamoDB client."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """A method of boto3's client."""

        def send(**request: Any) -> Any:
            table = self.process.world.table
            return self.process.call(operation, detail_of(request), lambda: table.execute(operation, request))

        return send


def detail_of(request: Mapping[str, Any]) -> str:
    """What a request is about, to tell calls apart."""
    if "TransactItems" in request:
        return " + ".join(detail_of(body) for action in request["TransactItems"] for body in action.values())
    key = request.get("Key") or request.get("Item") or {}
    sk = key.get("SK", {}).get("S", "")
    kind = request.get("Item", {}).get("m", {}).get("S", "")
    return f"{sk.partition('#W#')[0]} {kind}{request.get('UpdateExpression', '')[:60]}".strip()


class Wakes:
    """A process's side of the queue."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def send(self, tenant: str, thread_id: str, run_id: str, *, delay_s: int = 0) -> None:
        """Put a message on the queue."""
        world = self.process.world
        self.process.call(
            "send", f"delay {delay_s}", lambda: world.put(Message(thread_id, run_id, hint=not delay_s), delay_s)
        )


@dataclass
class Plan:
    """What makes one run of a scenario differ from another."""

    faults: Mapping[int, Fault] = field(default_factory=dict)
    """By the number of the call."""
    seed: int = 0
    """Decides how long calls travel, and so who comes first."""


class World:
    """One run of a scenario."""

    def __init__(self, plan: Plan, watch: Callable[["World"], None], table: Dictionary | None = None) -> None:
        self.loop = Clockwork()
        self.plan = plan
        self.random = random.Random(plan.seed)
        self._chance = random.getstate(), JITTER.getstate()
        random.seed(plan.seed)  # the service's own jitter, of the storage
        JITTER.seed(plan.seed)  # and of those who wait
        self.table = table or Dictionary()
        self.table.watch = lambda: watch(self)
        self.limits = Limits()
        self.worker_limit_s = 890.0
        self.duplicates = 1
        """How often each message is delivered."""
        self.trace: list[tuple[str, str, str]] = []
        """Process, operation and detail of each call."""
        self.befallen: Callable[[Process, str, str], Fault | None] = lambda _process, _operation, _detail: None
        """What a scenario itself does to a call, apart from the plan."""
        self.one_at_a_time = threading.Lock()
        self.actor: Process | None = None
        """The process whose call has its effect at present."""
        self.stalled: list[Process] = []
        """Frozen until another takes the thread over."""
        self.processes: list[Process] = []
        self.workers: list[Process] = []
        self.asked: list[Asked] = []
        self.errors: list[tuple[Process, BaseException]] = []
        """What clients and workers were told."""
        self.outstanding: set[int] = set()
        self.delivered = 0
        self.messages: list[Message] = []
        self.most_watchdogs = 0
        """How many watchdogs of one run were held back at a time, at most."""
        self.thread_id = str(uuid.UUID(int=plan.seed + 1))
        self.failing: dict[str, RunStatus] = {}
        """How runs end that cannot succeed."""
        self.memory: dict[str, Any] = {}
        """What the watcher remembers."""
        self.base_context = contextvars.copy_context()
        self.resting = False
        """Whether the scenario is over: what reads now is not counted."""
        self._numbers = 0

    def close(self) -> None:
        """End all that still goes on, and leave chance to others as it was.

        Nothing is left for the garbage collector to complain about.
        """
        for process in self.processes:
            process.dead = True
            process.frozen = False
        for _ in range(20):
            tasks = [task for process in self.processes for task in process.tasks]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(1))
        self.loop.close()
        everybodys, waiters = self._chance
        random.setstate(everybodys)
        JITTER.setstate(waiters)

    # ------------------------------------------------------------------ processes

    def process(self, name: str, skew_s: float = 0.0) -> Process:
        """A new process."""
        process = Process(self, name, skew_s)
        self.processes.append(process)
        return process

    def fault_at(self, process: Process, operation: str, detail: str) -> Fault | None:
        """What befalls the present call."""
        if self.resting:
            return None
        number = len(self.trace)
        self.trace.append((process.name, operation, detail))
        fault = self.plan.faults.get(number)
        if fault is not None and fault in faults_of(operation):  # after an earlier fault it may be another call
            return fault
        return self.befallen(process, operation, detail)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have something happen that no process does."""
        self.loop.call_later(seconds, callback, context=self.base_context)

    def act(self, process: Process, effect: Callable[[], Any]) -> Any:
        """Let a call of a process have its effect."""
        with elsewhere(), self.one_at_a_time:
            self.actor = process
            return effect()

    def taken_over(self) -> None:
        """The thread has a new holder: whoever stalled until then goes on at once."""
        stalled, self.stalled = self.stalled, []
        for process in stalled:
            self.later(0, partial(process.thaw, self.loop))

    # ------------------------------------------------------------------ the queue and its workers

    def put(self, message: Message, delay_s: float) -> None:
        """Put a message on the queue."""
        self.messages.append(message)
        mine = [one for one in self.messages if one.run_id == message.run_id and not (one.hint or one.receipts)]
        self.most_watchdogs = max(self.most_watchdogs, len(mine))
        for _ in range(self.duplicates):
            self.later(delay_s, lambda: self._deliver(message))

    def _deliver(self, message: Message) -> None:
        if message.done:
            return
        self.delivered += 1
        message.receipts += 1
        process = next((worker for worker in self.workers if not (worker.dead or worker.frozen or worker.tasks)), None)
        if process is None:
            process = self.process(f"worker{len(self.workers)}", skew_s=-0.7)
            self.workers.append(process)
        process.spawn(self._attend(process, message))
        self.later(VISIBILITY_S, lambda: self._deliver(message))

    async def _attend(self, process: Process, message: Message) -> None:
        attending = process.services.attendant.attend(
            TENANT, message.thread_id, message.run_id, self.worker_limit_s, hint=message.hint
        )
        try:
            await attending
        except Exception as error:
            self.errors.append((process, error))
        else:
            message.done = not process.dead or message.done

    # ------------------------------------------------------------------ rest

    def busy(self) -> bool:
        """Whether anything may still happen, apart from what is frozen."""
        working = any(process.tasks for process in self.processes if not process.frozen)
        return working or any(not message.done for message in self.messages)

    async def rest(self) -> None:
        """Return when nothing happens any more; thaw what is frozen then, and wait once more."""
        while True:
            deadline = self.loop.time() + PATIENCE_S
            while self.busy():
                if self.loop.time() > deadline or self.delivered > 5000:
                    raise NeverRests(f"I2: {self.delivered} messages delivered and no end")
                await asyncio.sleep(5)
            await asyncio.sleep(LATE_S + 5)
            frozen = [process for process in self.processes if process.frozen]
            if not frozen and not self.busy():
                return
            self.stalled.clear()
            for process in frozen:
                process.thaw(self.loop)

    # ------------------------------------------------------------------ clients

    def run(self, name: str, strategy: str = "enqueue", n: int = 3, seconds: float = 0.0, **kwargs: Any) -> Asked:
        """A run of the `log` graph that appends `n` entries."""
        now = BEGINNING + timedelta(seconds=self.loop.time())
        fresh = {"entries": [], "name": name, "n": n, "seconds": seconds, **kwargs.pop("input", {})}
        run = Run(
            tenant=TENANT,
            thread_id=self.thread_id,
            run_id=self.new_run_id(),
            assistant_id=system_assistant_id("log"),
            graph_id="log",
            status=RunStatus.PENDING,
            created_at=now,
            updated_at=now,
            multitask_strategy=strategy,
            kwargs={"input": fresh, "durability": "async", **kwargs},
        )
        asked = Asked(name, run, strategy, n)
        self.asked.append(asked)
        return asked

    def new_run_id(self) -> str:
        """As the service makes them: a version 7 UUID, sorted by time."""
        self._numbers += 1
        milliseconds = int((BEGINNING.timestamp() + self.loop.time()) * 1000)
        return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | self._numbers))

    def new_thread(self) -> Thread:
        """The scenario's thread, as yet without anything."""
        now = BEGINNING + timedelta(seconds=self.loop.time())
        return Thread(TENANT, self.thread_id, ThreadStatus.IDLE, created_at=now, updated_at=now)

    def wait(
        self,
        process: Process,
        asked: Asked,
        *,
        window_s: float | None = WINDOW_S,
        limit_s: float | None = None,
    ) -> "asyncio.Task[None]":
        """POST …/runs/wait in a process that has so much time, and for the answer no more than a window of it."""

        async def request() -> None:
            waiter = process.services.waiter
            admitted = await waiter.admit(asked.run, self.new_thread(), inline=True)
            asked.answer = await waiter.follow(admitted.run, admitted, window_s=window_s, limit_s=limit_s)

        return self._client(process, asked, request())

    def background(self, process: Process, asked: Asked) -> "asyncio.Task[None]":
        """POST …/runs in a process."""

        async def request() -> None:
            services = process.services
            admitted = await services.waiter.admit(asked.run, self.new_thread(), inline=False)
            run = admitted.run
            await asyncio.to_thread(services.wakes.send, run.tenant, run.thread_id, run.run_id)

        return self._client(process, asked, request())

    def join(self, process: Process, asked: Asked) -> "asyncio.Task[None]":
        """GET …/join in a process; the answer is the run's."""

        async def request() -> None:
            asked.answer = await process.services.waiter.follow(asked.run, None, window_s=WINDOW_S)

        return self._client(process, asked, request())

    def cancel(self, process: Process, asked: Asked, action: Any) -> "asyncio.Task[None]":
        """POST …/cancel in a process."""

        async def request() -> None:
            asked.stopped_by.add(str(action))
            await process.services.cancellation.cancel(asked.run, action)

        return self._client(process, None, request())

    def _client(
        self, process: Process, asked: Asked | None, request: Coroutine[Any, Any, None]
    ) -> "asyncio.Task[None]":
        """A client of a process; it lives on when the process does not, and gives up in the end."""
        handling = process.spawn(self._told(process, asked, request))

        async def patience() -> None:
            await asyncio.wait({handling}, timeout=CLIENT_PATIENCE_S)

        return self.loop.create_task(patience(), context=self.base_context)

    async def _told(self, process: Process, asked: Asked | None, request: Coroutine[Any, Any, None]) -> None:
        try:
            await request
        except Exception as error:
            if asked is not None:
                asked.error = error
            self.errors.append((process, error))
        else:
            if asked is not None and not process.dead:
                asked.accepted = True
