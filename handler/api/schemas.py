"""The bodies of requests and the shapes of answers."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from handler.domain.models import MAX_TTL_MINUTES, Assistant, JsonObject, Run, Thread
from handler.errors import Invalid

MAX_ROWS = 1000
"""Most rows of one page."""


class Body(BaseModel):
    """A request body; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def as_uuid(value: str, what: str) -> str:
    """An id in canonical form; Invalid if it is not a UUID."""
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise Invalid(f"Invalid {what} ID: must be a UUID") from None


def _checkpoint_id(value: str) -> str:
    if value:
        uuid.UUID(value)
    return value


JsonDict = dict[StrictStr, Any]
CheckpointId = Annotated[StrictStr, AfterValidator(_checkpoint_id)]
Nodes = Literal["*"] | list[StrictStr]
StreamMode = Literal[
    "values",
    "updates",
    "messages",
    "messages-tuple",
    "tasks",
    "checkpoints",
    "debug",
    "custom",
    "events",
]


def _listed(value: Any) -> Any:
    """A bare node name stands for a list of one."""
    return [value] if isinstance(value, str) and value != "*" else value


class SendTarget(Body):
    """A node and the input it is to get."""

    node: StrictStr
    input: Any


class CommandBody(Body):
    """What resumes, updates or redirects an interrupted thread."""

    resume: Any = None
    update: JsonDict | list[tuple[StrictStr, Any]] | None = None
    goto: SendTarget | StrictStr | list[SendTarget | StrictStr] | None = None


class ConfigBody(BaseModel):
    """A LangChain RunnableConfig."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tags: list[StrictStr] | None = None
    recursion_limit: StrictInt | None = None
    configurable: JsonDict | None = None
    metadata: JsonDict | None = None
    max_concurrency: StrictInt | None = None
    run_name: StrictStr | None = None


class CheckpointBody(Body):
    """Names a checkpoint of the thread."""

    thread_id: StrictStr | None = None
    checkpoint_ns: StrictStr | None = None
    checkpoint_id: CheckpointId | None = None
    checkpoint_map: JsonDict | None = None


class RunBody(Body):
    """What to run, on what, and how; an optional field that is null counts as absent."""

    assistant_id: StrictStr = Field(description="A graph's name or an assistant's UUID.")
    input: Any = Field(default=None, description="The graph's input; absent to go on where the thread stands.")
    command: CommandBody | None = Field(default=None, description="Resume, update or redirect; in place of an input.")
    config: ConfigBody | None = None
    context: JsonDict | None = Field(default=None, description="The graph's static context.")
    checkpoint: CheckpointBody | None = Field(default=None, description="The checkpoint to start from.")
    checkpoint_id: CheckpointId | None = None
    metadata: JsonDict | None = None
    stream: StrictBool | None = None
    stream_mode: StreamMode | list[StreamMode] | None = None
    stream_subgraphs: StrictBool | None = None
    stream_resumable: StrictBool | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None
    interrupt_before: Annotated[Nodes, BeforeValidator(_listed)] | None = None
    interrupt_after: Annotated[Nodes, BeforeValidator(_listed)] | None = None
    if_not_exists: Literal["create", "reject"] | None = None
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: StrictBool | None = None
    strict_resume: StrictBool | None = Field(
        default=None,
        description="Fail, where `resume` answers an interrupt that does not wait, instead of ignoring it.",
    )
    webhook: Annotated[StrictStr, Field(min_length=1)] | None = None
    after_seconds: Annotated[float, Field(strict=True)] | None = None
    feedback_keys: list[StrictStr] | None = None
    langsmith_tracer: JsonDict | None = None


class EventStreamBody(Body):
    """Which events of a thread's runs to stream."""

    channels: list[StrictStr] = Field(
        default_factory=list,
        description="values, updates, checkpoints, messages, tools, custom, custom:<name>, lifecycle, input, tasks.",
    )
    namespaces: list[list[StrictStr]] | None = Field(default=None, description="Prefixes; none: everywhere.")
    depth: Annotated[StrictInt, Field(ge=0)] | None = Field(default=None, description="At most so far below them.")
    since: Annotated[StrictInt, Field(ge=0)] | None = Field(default=None, description="Only events of a higher seq.")


class StateAtBody(Body):
    """Which state of a thread to read."""

    checkpoint: CheckpointBody
    subgraphs: StrictBool | None = None
    select: list[StrictStr] | None = None


class BeforeBody(Body):
    """A checkpoint as a config names it."""

    configurable: CheckpointBody


class HistoryBody(Body):
    """Which states of a thread to list."""

    limit: Annotated[StrictInt, Field(ge=1, le=MAX_ROWS)] = 1
    before: BeforeBody | CheckpointBody | CheckpointId | None = None
    metadata: JsonDict | None = None
    checkpoint: CheckpointBody | None = None
    select: list[StrictStr] | None = None


class RunsCancelBody(Body):
    """Which runs to stop."""

    thread_id: StrictStr | None = None
    run_ids: list[StrictStr] | None = None
    status: Literal["pending", "running", "all"] | None = None


class TtlBody(Body):
    """How long a thread is kept."""

    strategy: Literal["delete", "keep_latest"] | None = None
    ttl: Annotated[float, Field(gt=0, le=MAX_TTL_MINUTES)] | None = Field(default=None, description="In minutes.")


class SuperstepUpdateBody(Body):
    """What a node is to have done in a super-step."""

    values: JsonDict | list[Any] | None = None
    command: CommandBody | None = None
    as_node: StrictStr


class SuperstepBody(Body):
    """What the nodes of one super-step are to have done."""

    updates: list[SuperstepUpdateBody]


class StateUpdateBody(Body):
    """A change of a thread's state."""

    values: JsonDict | list[Any] | None = None
    as_node: StrictStr | None = None
    checkpoint: CheckpointBody | None = None
    checkpoint_id: CheckpointId | None = None


class ThreadCreateBody(Body):
    """A new thread."""

    thread_id: StrictStr = ""
    metadata: JsonDict = Field(default_factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    ttl: TtlBody | None = None
    supersteps: list[SuperstepBody] = Field(default_factory=list)


class ThreadPatchBody(Body):
    """Changes of a thread."""

    metadata: JsonDict = Field(default_factory=dict)
    ttl: TtlBody | None = None


ThreadStatusName = Literal["idle", "busy", "interrupted", "error"]
ThreadField = Literal[
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "config",
    "status",
    "values",
    "interrupts",
]


class ThreadCountBody(Body):
    """Which threads to count."""

    metadata: JsonDict = Field(default_factory=dict)
    values: JsonDict = Field(default_factory=dict)
    status: ThreadStatusName | None = None


class ThreadSearchBody(ThreadCountBody):
    """Which threads to list."""

    ids: Annotated[list[StrictStr], Field(max_length=MAX_ROWS)] = Field(default_factory=list)
    limit: Annotated[StrictInt, Field(ge=1, le=MAX_ROWS)] = 10
    offset: Annotated[StrictInt, Field(ge=0)] = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[ThreadField] = Field(default_factory=list)
    extract: Annotated[dict[StrictStr, StrictStr], Field(max_length=10)] = Field(default_factory=dict)


class ThreadPruneBody(Body):
    """Which threads to prune."""

    thread_ids: Annotated[list[StrictStr], Field(max_length=MAX_ROWS)]
    strategy: Literal["delete", "keep_latest"] = "delete"


AssistantField = Literal[
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "created_at",
    "updated_at",
    "metadata",
    "version",
]


class AssistantSearchBody(Body):
    """Which assistants to list."""

    metadata: JsonDict = Field(default_factory=dict)
    graph_id: StrictStr | None = None
    name: StrictStr | None = None
    limit: Annotated[StrictInt, Field(ge=1, le=MAX_ROWS)] = 10
    offset: Annotated[StrictInt, Field(ge=0)] = 0
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    select: list[AssistantField] | None = None


RUN_FIELDS = (
    "run_id",
    "thread_id",
    "assistant_id",
    "created_at",
    "updated_at",
    "status",
    "metadata",
    "kwargs",
    "multitask_strategy",
)
"""The fields of a run that `select` may name."""

STATE_FIELDS = frozenset(
    ("values", "next", "tasks", "checkpoint", "metadata", "created_at", "parent_checkpoint", "interrupts")
)
"""The fields of a state that `select` may name, beside `values.<key>`."""


def shown_thread(thread: Thread, values: Any, interrupts: JsonObject) -> JsonObject:
    """A thread as the API shows it; what a run leaves is there once one has."""
    left = {"error": thread.error, "interrupts": interrupts} if thread.state_updated_at else {}
    return {
        "thread_id": thread.thread_id,
        "created_at": thread.created_at.isoformat(),
        "updated_at": thread.updated_at.isoformat(),
        "state_updated_at": (thread.state_updated_at or thread.created_at).isoformat(),
        "metadata": thread.shown_metadata,
        "status": thread.shown_status,
        "config": thread.shown_config,
        "values": values,
        **left,
    }


def shown_ttl(thread: Thread) -> JsonObject:
    """How long a thread is kept, for those who ask; nothing for one that is kept for ever."""
    if thread.ttl is None:
        return {}
    due = thread.ttl.due.isoformat()
    return {"ttl": {"strategy": thread.ttl.strategy, "ttl_minutes": thread.ttl.minutes, "expires_at": due}}


def shown_run(run: Run) -> JsonObject:
    """A run as the API shows it; beyond the reference: attempt, handoffs, started_at, ended_at, error."""
    return {
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "assistant_id": run.assistant_id,
        "metadata": {**run.metadata, "graph_id": run.graph_id, "assistant_id": run.assistant_id},
        "status": run.status,
        "kwargs": run.kwargs,
        "multitask_strategy": run.multitask_strategy,
        "created_at": run.created_at.isoformat(),
        "updated_at": run.updated_at.isoformat(),
        "attempt": run.attempt,
        "handoffs": run.handoffs,
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "error": run.error,
    }


def shown_assistant(assistant: Assistant) -> JsonObject:
    """An assistant as the API shows it."""
    return {
        "assistant_id": assistant.assistant_id,
        "graph_id": assistant.graph_id,
        "config": assistant.config,
        "context": assistant.context,
        "metadata": assistant.metadata,
        "name": assistant.name,
        "created_at": assistant.created_at.isoformat(),
        "updated_at": assistant.updated_at.isoformat(),
        "version": assistant.version,
        "description": assistant.description,
    }
