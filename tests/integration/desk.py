"""A service whose queue, timers and clock a test holds in its hands, and whose calls fail when it says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from handler.api.services import Services
from handler.bootstrap import build_services, create_table
from handler.domain.messages import CronWake, Message, Wake
from handler.domain.models import Run, Thread, new_run_id
from handler.domain.status import ThreadStatus
from handler.errors import StorageUnavailable
from handler.runs.targets import Targets
from tests.conftest import new_settings
from tests.engines import Engine

BEGINNING = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
TENANT = "acme"
ROUNDS = 200
"""More messages than any of these tests has under way."""


@dataclass(frozen=True)
class Posted:
    """A message on the queue."""

    due: datetime
    message: Message


class Desk:
    """The queue and the timers: what is sent lies here until the test delivers it."""

    def __init__(self, engine: Engine, targets: Targets | None = None, **settings: Any) -> None:
        self.now = BEGINNING
        self.posted: list[Posted] = []
        self.calls = 0
        self.dies_at: int | None = None
        """The number of the call with which the process dies, and all after it fail; None: none."""
        self.answers_last = False
        """Whether the last call before its death took effect."""
        chosen = new_settings(queue_url="held-by-the-test", **settings)
        create_table(engine.dynamodb(), chosen.table_name)
        client = Client(self, engine.new_dynamodb())
        self.services: Services = build_services(
            chosen,
            dynamodb=cast("Any", client),
            wakes=self,
            timers=self,
            targets=targets,
            clock=lambda: self.now,
            sleep=lambda _seconds: None,
        )

    def send(self, tenant: str, thread_id: str, run_id: str, *, delay_s: int = 0) -> None:
        """The port `WakeQueue`."""
        wake = Wake(tenant, thread_id, run_id, hint=not delay_s)
        self.call(lambda: self.posted.append(Posted(self.now + timedelta(seconds=delay_s), wake)))

    def set(self, message: Message, due: datetime) -> None:
        """The port `Timers`; what was set before comes as well."""
        self.call(lambda: self.posted.append(Posted(max(due, self.now), message)))

    def clear(self, message: Message) -> None:
        """The port `Timers`; nothing can be taken back."""

    def call(self, effect: Callable[[], Any]) -> Any:
        """Let a call take effect, or fail."""
        self.calls += 1
        if self.dies_at is not None and self.calls >= self.dies_at:
            if self.calls == self.dies_at and self.answers_last:
                effect()
            raise StorageUnavailable("the process has died")
        return effect()

    @contextmanager
    def dying_at(self, call: int, *, answers_last: bool = False) -> Iterator[None]:
        """A process that dies with a call of these, counted from here, and is replaced by another after it."""
        self.dies_at, self.answers_last = self.calls + call, answers_last
        try:
            yield
        finally:
            self.dies_at = None

    def take(self, message: Message) -> None:
        """Hand a message to a worker, which may fail."""
        self.services.loop.submit(self.services.attendant.take(message)).result(30)

    def deliver(self, kind: type[Message] = CronWake) -> int:
        """Deliver each message of a kind that is due, in order, and those that come of it; how many there were."""
        for count in range(ROUNDS):
            due = sorted(
                (one for one in self.posted if one.due <= self.now and isinstance(one.message, kind)), key=_due
            )
            if not due:
                return count
            self.posted.remove(due[0])
            self.take(due[0].message)
        raise AssertionError("messages beget messages without end")

    def at(self, moment: datetime) -> None:
        """Live through the time until a moment, delivering each message when it is due."""
        for _ in range(ROUNDS):
            coming = sorted((one for one in self.posted if isinstance(one.message, CronWake)), key=_due)
            if not coming or coming[0].due > moment:
                break
            self.now = max(self.now, coming[0].due)
            self.deliver()
        else:
            raise AssertionError("messages beget messages without end")
        self.now = moment

    def thread(self) -> str:
        """A fresh thread."""
        thread_id = new_run_id()
        fresh = Thread(TENANT, thread_id, ThreadStatus.IDLE, self.now, self.now)
        assert self.services.threads.create(fresh)
        return thread_id

    def runs(self, thread_id: str) -> list[Run]:
        """The runs of a thread, oldest first."""
        return list(self.services.runs.list(TENANT, thread_id, limit=100, offset=0, status=None))[::-1]


class Client:
    """A DynamoDB client whose calls the desk counts."""

    def __init__(self, desk: Desk, client: Any) -> None:
        self.desk = desk
        self.client = client

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        """A method of boto3's client."""
        method = getattr(self.client, operation)
        return lambda **request: self.desk.call(lambda: method(**request))


def _due(posted: Posted) -> datetime:
    return posted.due
