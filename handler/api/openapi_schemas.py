"""What the OpenAPI document says beyond the bodies of requests: tags, query parameters, the shapes of answers."""

from typing import Any

Schema = dict[str, Any]

TAGS = {
    "Assistants": "A graph, configured.",
    "Threads": "A conversation: its state, and how it came about.",
    "Thread Runs": "A graph's run on a thread.",
    "Stateless Runs": "A graph's run on a thread of its own.",
    "Crons": "Runs that start by the clock.",
    "Store": "What graphs remember across threads.",
    "System": "The server itself.",
}
"""The reference's tags."""

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
OBJECT: Schema = {"type": "object", "additionalProperties": True}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}


def listed(items: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items}


def named(schema: str) -> Schema:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{schema}"}


def one_of(*values: str) -> Schema:
    """One of these strings."""
    return {"type": "string", "enum": list(values)}


def shape(properties: dict[str, Schema], *optional: str) -> Schema:
    """An object with these members; those named after them may be absent."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def nullable(schema: Schema) -> Schema:
    """This, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


SCHEMAS: dict[str, Schema] = {
    "Error": shape({"detail": TEXT}),
    "Interrupt": shape({"id": TEXT, "value": {}}),
    "Checkpoint": shape(
        {"thread_id": ID, "checkpoint_ns": TEXT, "checkpoint_id": nullable(TEXT), "checkpoint_map": OBJECT},
        "checkpoint_map",
    ),
    "Task": shape(
        {
            "id": TEXT,
            "name": TEXT,
            "path": listed({}),
            "error": nullable(TEXT),
            "interrupts": listed(named("Interrupt")),
            "checkpoint": nullable(named("Checkpoint")),
            "state": nullable(named("ThreadState")),
            "result": {},
        },
        "result",
    ),
    "ThreadState": shape(
        {
            "values": {},
            "next": listed(TEXT),
            "tasks": listed(named("Task")),
            "metadata": nullable(OBJECT),
            "created_at": nullable(TIME),
            "checkpoint": nullable(named("Checkpoint")),
            "parent_checkpoint": nullable(named("Checkpoint")),
            "interrupts": listed(named("Interrupt")),
        },
    ),
    "Thread": shape(
        {
            "thread_id": ID,
            "created_at": TIME,
            "updated_at": TIME,
            "state_updated_at": TIME,
            "metadata": OBJECT,
            "config": OBJECT,
            "status": one_of("idle", "busy", "interrupted", "error"),
            "values": nullable(OBJECT),
            "interrupts": {"type": "object", "additionalProperties": listed(named("Interrupt"))},
            "error": nullable(OBJECT),
        },
        "state_updated_at",
        "interrupts",
        "error",
    ),
    "Run": shape(
        {
            "run_id": ID,
            "thread_id": ID,
            "assistant_id": ID,
            "status": one_of("pending", "running", "success", "error", "interrupted", "timeout"),
            "metadata": OBJECT,
            "kwargs": OBJECT,
            "multitask_strategy": one_of("reject", "interrupt", "rollback", "enqueue"),
            "created_at": TIME,
            "updated_at": TIME,
            "attempt": COUNT,
            "handoffs": COUNT,
            "started_at": nullable(TIME),
            "ended_at": nullable(TIME),
            "error": nullable(OBJECT),
        },
        "attempt",
        "handoffs",
        "started_at",
        "ended_at",
        "error",
    ),
    "Assistant": shape(
        {
            "assistant_id": ID,
            "graph_id": TEXT,
            "config": OBJECT,
            "context": OBJECT,
            "metadata": OBJECT,
            "name": TEXT,
            "description": nullable(TEXT),
            "version": COUNT,
            "created_at": TIME,
            "updated_at": TIME,
        },
    ),
    "Cron": shape(
        {
            "cron_id": ID,
            "assistant_id": ID,
            "thread_id": nullable(ID),
            "schedule": TEXT,
            "timezone": nullable(TEXT),
            "enabled": FLAG,
            "end_time": nullable(TIME),
            "next_run_date": nullable(TIME),
            "payload": OBJECT,
            "metadata": OBJECT,
            "on_run_completed": nullable(one_of("delete", "keep")),
            "user_id": nullable(TEXT),
            "created_at": TIME,
            "updated_at": TIME,
        },
        "user_id",
    ),
    "Item": shape({"namespace": listed(TEXT), "key": TEXT, "value": OBJECT, "created_at": TIME, "updated_at": TIME}),
}
"""The shapes of what the API answers with."""

VALUES: Schema = {"description": "The graph's values; `__interrupt__` and `__error__` tell of a stop and a failure."}

ANSWERS: dict[str, Schema] = {
    "POST /assistants": named("Assistant"),
    "POST /assistants/search": listed(named("Assistant")),
    "POST /assistants/count": COUNT,
    "GET /assistants/{assistant_id}": named("Assistant"),
    "PATCH /assistants/{assistant_id}": named("Assistant"),
    "POST /assistants/{assistant_id}/versions": listed(named("Assistant")),
    "POST /assistants/{assistant_id}/latest": named("Assistant"),
    "GET /assistants/{assistant_id}/graph": OBJECT,
    "GET /assistants/{assistant_id}/schemas": OBJECT,
    "GET /assistants/{assistant_id}/subgraphs": OBJECT,
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": OBJECT,
    "POST /threads": named("Thread"),
    "POST /threads/search": listed(named("Thread")),
    "POST /threads/count": COUNT,
    "POST /threads/prune": shape({"pruned_count": COUNT}),
    "GET /threads/{thread_id}": named("Thread"),
    "PATCH /threads/{thread_id}": named("Thread"),
    "POST /threads/{thread_id}/copy": named("Thread"),
    "GET /threads/{thread_id}/state": named("ThreadState"),
    "POST /threads/{thread_id}/state": shape({"checkpoint": named("Checkpoint")}),
    "GET /threads/{thread_id}/state/{checkpoint_id}": named("ThreadState"),
    "POST /threads/{thread_id}/state/checkpoint": named("ThreadState"),
    "GET /threads/{thread_id}/history": listed(named("ThreadState")),
    "POST /threads/{thread_id}/history": listed(named("ThreadState")),
    "GET /threads/{thread_id}/runs": listed(named("Run")),
    "POST /threads/{thread_id}/runs": named("Run"),
    "GET /threads/{thread_id}/runs/{run_id}": named("Run"),
    "POST /threads/{thread_id}/runs/wait": VALUES,
    "GET /threads/{thread_id}/runs/{run_id}/join": VALUES,
    "POST /threads/{thread_id}/runs/{run_id}/cancel": OBJECT,
    "POST /threads/{thread_id}/runs/crons": named("Cron"),
    "POST /threads/{thread_id}/commands": OBJECT,
    "POST /runs": named("Run"),
    "POST /runs/wait": VALUES,
    "POST /runs/batch": listed(named("Run")),
    "POST /runs/crons": named("Cron"),
    "POST /runs/crons/search": listed(named("Cron")),
    "POST /runs/crons/count": COUNT,
    "GET /runs/crons/{cron_id}": named("Cron"),
    "PATCH /runs/crons/{cron_id}": named("Cron"),
    "GET /store/items": nullable(named("Item")),
    "POST /store/items/search": shape({"items": listed(named("Item"))}),
    "POST /store/namespaces": shape({"namespaces": listed(listed(TEXT))}),
    "GET /ok": shape({"ok": FLAG}),
    "GET /info": OBJECT,
}
"""What each endpoint answers with when it succeeds."""


def query(name: str, schema: Schema, *, required: bool = False) -> Schema:
    """A parameter of the query string."""
    return {"name": name, "in": "query", "required": required, "schema": schema}


def header(name: str) -> Schema:
    """A header that is heeded."""
    return {"name": name, "in": "header", "required": False, "schema": TEXT}


SUBGRAPHS = query("subgraphs", FLAG)
CANCELS = query("cancel_on_disconnect", FLAG)
SELECT = query("select", listed(TEXT))
PREFER = header("Prefer")
IDEMPOTENCY = header("Idempotency-Key")
LAST_EVENT = header("Last-Event-ID")

PARAMETERS: dict[str, tuple[Schema, ...]] = {
    "DELETE /assistants/{assistant_id}": (query("delete_threads", FLAG),),
    "GET /assistants/{assistant_id}/graph": (query("xray", {"anyOf": [FLAG, COUNT]}),),
    "GET /assistants/{assistant_id}/subgraphs": (query("recurse", FLAG),),
    "GET /assistants/{assistant_id}/subgraphs/{namespace}": (query("recurse", FLAG),),
    "GET /threads/{thread_id}/state": (SUBGRAPHS, SELECT),
    "GET /threads/{thread_id}/state/{checkpoint_id}": (SUBGRAPHS, SELECT),
    "GET /threads/{thread_id}/history": (query("limit", COUNT), query("before", TEXT), SELECT),
    "GET /threads/{thread_id}/runs": (
        query("limit", COUNT),
        query("offset", COUNT),
        query("status", TEXT),
        SELECT,
    ),
    "POST /threads/{thread_id}/runs": (IDEMPOTENCY,),
    "POST /threads/{thread_id}/runs/wait": (PREFER, IDEMPOTENCY),
    "POST /threads/{thread_id}/runs/stream": (IDEMPOTENCY,),
    "GET /threads/{thread_id}/runs/{run_id}/join": (PREFER, CANCELS),
    "GET /threads/{thread_id}/stream": (LAST_EVENT, query("stream_mode", TEXT)),
    "POST /threads/{thread_id}/commands": (IDEMPOTENCY,),
    "GET /threads/{thread_id}/runs/{run_id}/stream": (LAST_EVENT, query("stream_mode", TEXT), CANCELS),
    "POST /threads/{thread_id}/runs/{run_id}/cancel": (
        query("wait", FLAG),
        query("action", one_of("interrupt", "rollback")),
    ),
    "POST /runs": (IDEMPOTENCY,),
    "POST /runs/wait": (PREFER, IDEMPOTENCY),
    "POST /runs/stream": (IDEMPOTENCY,),
    "POST /runs/cancel": (query("action", one_of("interrupt", "rollback")),),
    "GET /ok": (query("check_db", FLAG),),
    "GET /store/items": (
        query("key", TEXT, required=True),
        query("namespace", TEXT, required=True),
        query("refresh_ttl", FLAG),
    ),
}
"""What endpoints read from the query string and the headers, beyond what their signatures say."""
