"""The composition root: the only module that names concrete classes, and where fakes enter."""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from handler.api.answers import encode, plain
from handler.api.cron_runs import run_of_cron
from handler.api.schemas import shown_run
from handler.api.services import Services
from handler.domain.models import Claim, Cron, Run, Thread, utc_now
from handler.domain.ports import Clock, SaverFactory, Timers, WakeQueue
from handler.errors import StorageUnavailable
from handler.runs.admission import Admission
from handler.runs.attendant import Attendant
from handler.runs.cancellation import Cancellation
from handler.runs.channels import Channels
from handler.runs.crons import Crons
from handler.runs.descriptions import Descriptions
from handler.runs.driver import Driver, Limits
from handler.runs.expiry import Expiry
from handler.runs.follower import Streams
from handler.runs.graphs import Graphs, read_config
from handler.runs.hold import Hold
from handler.runs.loop import GraphLoop
from handler.runs.recall import Recall
from handler.runs.search import Search
from handler.runs.semantics import SemanticIndex
from handler.runs.states import States
from handler.runs.store import Store
from handler.runs.targets import Targets
from handler.runs.updates import Updates
from handler.runs.waiter import Waiter
from handler.runs.webhooks import Webhooks, ending
from handler.settings import Settings, get_settings
from handler.storage.assistants import DynamoDBAssistants
from handler.storage.crons import DynamoDBCrons
from handler.storage.events import DynamoDBEvents
from handler.storage.queue import NoWakes, SqsWakes
from handler.storage.runs import DynamoDBRuns
from handler.storage.schema import TABLE
from handler.storage.store import DynamoDBItems
from handler.storage.table import Table
from handler.storage.threads import DynamoDBThreads
from handler.storage.timers import NoTimers, QueueTimers, SchedulerTimers
from handler.telemetry import flush_exporters

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

    from handler.storage.checkpointer import StateCache

CLIENT_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=2,
    read_timeout=5,
    max_pool_connections=50,
    tcp_keepalive=True,
)
"""Fails within a wait's window; botocore retries throttling and lost connections, with backoff and jitter."""


def dynamodb_client() -> "DynamoDBClient":
    """The client of this process, as the environment configures it."""
    return boto3.client("dynamodb", config=CLIENT_CONFIG)


def sqs_client() -> "SQSClient":
    """The client of this process, as the environment configures it."""
    return boto3.client("sqs", config=CLIENT_CONFIG)


def scheduler_client() -> "EventBridgeSchedulerClient":
    """The client of this process, as the environment configures it."""
    return boto3.client("scheduler", config=CLIENT_CONFIG)


def build_timers(settings: Settings, wakes: WakeQueue, clock: Clock) -> Timers:
    """The timers of this process: by Scheduler where there is a group, by the queue where there is one."""
    if not isinstance(wakes, SqsWakes):
        return NoTimers()
    near = QueueTimers(wakes, clock)
    if not settings.schedule_group:
        return near
    return SchedulerTimers(
        scheduler_client,
        near,
        clock,
        group=settings.schedule_group,
        queue_arn=settings.queue_arn,
        dead_letter_queue_arn=settings.dead_letter_queue_arn,
        role_arn=settings.schedule_role_arn,
    )


def build_services(
    settings: Settings | None = None,
    *,
    dynamodb: "DynamoDBClient | None" = None,
    wakes: WakeQueue | None = None,
    timers: Timers | None = None,
    targets: Targets | None = None,
    limits: Limits | None = None,
    clock: Clock = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Services:
    """The service, wired; every argument replaces a default."""
    settings = settings or get_settings()
    table = Table(dynamodb or dynamodb_client(), settings.table_name, sleep=sleep)
    savers = Savers(table, settings, monotonic)
    graphs = Graphs(read_config(settings.langgraph_config))
    limits = limits or Limits()
    threads = DynamoDBThreads(table, savers.delete_log, clock, limits.terms)
    runs = DynamoDBRuns(table, clock, limits.terms, threads)
    wakes = wakes or (SqsWakes(sqs_client(), settings.queue_url) if settings.queue_url else NoWakes())
    timers = timers or build_timers(settings, wakes, clock)
    targets = targets or Targets(settings.webhook_allowed_hosts, graphs.config.webhooks.policy)
    recall = Recall()
    admission = Admission(runs, wakes, timers, clock, recall, limits.terms)
    loop = GraphLoop()
    indexed = graphs.config.store.index
    index = SemanticIndex(indexed, graphs, loop) if indexed else None
    store = Store(DynamoDBItems(table, clock), index, graphs.config.store.ttl)
    events = DynamoDBEvents(table, clock, timedelta(seconds=settings.stream_kept_seconds))
    channels = Channels(events, settings.stream_kept_bytes)
    driver = Driver(runs, graphs, savers, wakes, clock, recall, limits, channels=channels, store=store.of)
    waiter = Waiter(threads, runs, admission, driver, graphs, savers)
    driver.on_next = waiter.turn_has_come
    states = States(graphs, savers)
    updates = Updates(threads, graphs, savers, admission, clock)

    def start(cron: Cron) -> tuple[Run, Thread | None]:
        return run_of_cron(services, cron)

    async def content(run: Run) -> Any:
        return ending(shown_run(run), run, await waiter.values_of(run))

    crons = Crons(DynamoDBCrons(table), waiter, wakes, timers, clock, start)
    secret, config = settings.webhook_secret, graphs.config.webhooks
    enabled = "webhooks" not in graphs.config.http.disabled
    webhooks = Webhooks(runs, wakes, clock, targets, content, encode, secret, config, enabled=enabled)
    descriptions = {spec.graph_id: spec.description for spec in graphs.config.graphs.values()}
    services = Services(
        settings=settings,
        clock=clock,
        threads=threads,
        runs=runs,
        assistants=DynamoDBAssistants(table, descriptions, clock()),
        wakes=wakes,
        graphs=graphs,
        loop=loop,
        hold=Hold(
            lambda: waiter.busy,
            lambda seconds: loop.submit(waiter.idle(seconds)).result(),
            before_freeze=flush_exporters,
        ),
        admission=admission,
        driver=driver,
        waiter=waiter,
        cancellation=Cancellation(threads, runs, admission, waiter),
        attendant=Attendant(threads, runs, admission, driver, wakes, timers, clock, crons, webhooks),
        crons=crons,
        targets=targets,
        states=states,
        search=Search(threads, states, plain),
        updates=updates,
        expiry=Expiry(threads, updates, clock),
        descriptions=Descriptions(graphs),
        store=store,
        streams=Streams(runs, channels, waiter),
    )
    return services


def create_table(client: "DynamoDBClient", name: str) -> None:
    """Create the table where no template does, unless it is there."""
    if name not in client.list_tables()["TableNames"]:
        client.create_table(TableName=name, **TABLE)


def create_queue(client: "SQSClient", name: str) -> str:
    """Create the queue where no template does, and return its URL."""
    attributes: Any = {"VisibilityTimeout": "900"}
    return client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


LOOKED_AHEAD = 100
"""Threads about to be driven of which it is known where their reading starts."""


class Savers(SaverFactory):
    """Makes checkpointers over the table, which share one cache; langgraph is imported when the first one is made."""

    def __init__(self, table: Table, settings: Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.table = table
        self.settings = settings
        self.monotonic = monotonic
        self._bases: OrderedDict[tuple[str, str], int] = OrderedDict()

    def look_ahead(self, tenant: str, thread_id: str) -> None:
        """Find out where a cold read of the thread has to start; without an answer it asks again."""
        with suppress(StorageUnavailable):
            self._bases[tenant, thread_id] = self(tenant).look_for_base(thread_id)
        while len(self._bases) > LOOKED_AHEAD:
            self._bases.popitem(last=False)

    def __call__(self, tenant: str, claim: Claim | None = None) -> Any:
        """A saver that writes under the claim's lease, or one that only reads."""
        from handler.storage.checkpointer import DynamoDBSaver

        saver = partial(
            DynamoDBSaver, self.table, tenant=tenant, cache=self._cache, serde=self._serde, clock=self.monotonic
        )
        if claim is None:
            return saver()
        # A driver that took over may meet what the former one still appends: it learns that at each put.
        later = claim.clean and claim.run.kwargs.get("durability") == "async"
        base = self._bases.pop((tenant, claim.run.thread_id), None)
        return saver(epoch=claim.lease.epoch, heads=claim.heads, later=later, newest_base=base)

    @cached_property
    def _cache(self) -> "StateCache":
        from handler.storage.checkpointer import StateCache

        return StateCache(self.settings.state_cache_bytes)

    @cached_property
    def _serde(self) -> "SerializerProtocol":
        from handler.storage.checkpointer import make_serde

        allowed = [tuple(name.strip().split(":")) for name in self.settings.allowed_types.split(",") if name.strip()]
        key = self.settings.aes_key.encode() or None
        return make_serde(strict=self.settings.strict_msgpack, allowed=allowed, aes_key=key)

    def delete_log(self, tenant: str, thread_id: str) -> None:
        """Delete a thread's checkpoints."""
        self(tenant).delete_thread(thread_id)
