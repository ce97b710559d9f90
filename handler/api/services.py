"""What the routes work with; bootstrap fills it, and `app.state.services` holds it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ParamSpec, TypeVar

import anyio.to_thread
from fastapi import Depends, Request

from handler.domain.ports import AssistantStore, Clock, RunStore, ThreadStore, WakeQueue
from handler.runs.admission import Admission
from handler.runs.attendant import Attendant
from handler.runs.cancellation import Cancellation
from handler.runs.crons import Crons
from handler.runs.descriptions import Descriptions
from handler.runs.driver import Driver
from handler.runs.expiry import Expiry
from handler.runs.follower import Streams
from handler.runs.graphs import Graphs
from handler.runs.hold import Hold
from handler.runs.loop import GraphLoop
from handler.runs.search import Search
from handler.runs.states import States
from handler.runs.store import Store
from handler.runs.targets import Targets
from handler.runs.updates import Updates
from handler.runs.waiter import Waiter
from handler.settings import Settings

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Services:
    """The service behind the API."""

    settings: Settings
    clock: Clock
    threads: ThreadStore
    runs: RunStore
    assistants: AssistantStore
    wakes: WakeQueue
    graphs: Graphs
    loop: GraphLoop
    admission: Admission
    driver: Driver
    waiter: Waiter
    hold: Hold
    cancellation: Cancellation
    attendant: Attendant
    crons: Crons
    targets: Targets
    states: States
    search: Search
    updates: Updates
    expiry: Expiry
    descriptions: Descriptions
    store: Store
    streams: Streams

    async def offload(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Run blocking work on a thread."""
        return await anyio.to_thread.run_sync(lambda: work(*args, **kwargs))


async def services_of(request: Request) -> Services:
    """The service that the application was built with."""
    services: Services = request.app.state.services
    return services


TheServices = Annotated[Services, Depends(services_of)]
"""A route's parameter: the service."""
