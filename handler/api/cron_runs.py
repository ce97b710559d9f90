"""The runs that crons start: as requests with the cron's payload would, on the assistant as it is at the time."""

from handler.api.bodies import checked
from handler.api.schemas import RunBody
from handler.api.services import Services
from handler.api.starts import new_run, thread_for
from handler.domain.models import Caller, Cron, Run, Thread, new_run_id
from handler.errors import AssistantNotFound


def run_of_cron(services: Services, cron: Cron) -> tuple[Run, Thread | None]:
    """The run of one firing, and the thread to create for it; AssistantNotFound if its assistant is gone."""
    body = checked(RunBody, cron.payload)
    assistant = services.assistants.get(cron.tenant, cron.assistant_id)
    if assistant is None:
        raise AssistantNotFound(cron.assistant_id)
    body = body.model_copy(update={"metadata": {**cron.metadata, **(body.metadata or {})}})
    if body.context and body.config and body.config.configurable:
        # The cron's id stands there for graphs to see; beside a context nothing may.
        seen = {name: value for name, value in body.config.configurable.items() if name != "cron_id"}
        body = body.model_copy(update={"config": body.config.model_copy(update={"configurable": seen})})
    temporary = cron.thread_id is None and cron.on_run_completed == "delete"
    caller = Caller(cron.tenant, cron.user_id)
    run = new_run(services, caller, cron.thread_id or new_run_id(), assistant, body, temporary=temporary)
    if cron.thread_id is not None:
        return run, None
    ttl = None if temporary else services.graphs.config.ttl.of_new_thread(run.created_at)
    return run, thread_for(run, body, ttl)
