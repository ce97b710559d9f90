"""Turns models into DynamoDB items and back; the only place that knows both."""

import zlib
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json

from handler.domain.lease import Lease
from handler.domain.models import (
    Assistant,
    CancelAction,
    Cron,
    IdempotencyKey,
    JsonObject,
    Run,
    Thread,
    ThreadTtl,
    TtlStrategy,
    to_ms,
)
from handler.domain.status import RunStatus, ThreadStatus
from handler.storage import keys
from handler.storage.schema import EXPIRES_AT
from handler.storage.table import Item

Value = dict[str, Any]
"""One attribute value in the low-level form: `{"S": "text"}`."""


def text(value: str) -> Value:
    """A string attribute."""
    return {"S": value}


def number(value: int) -> Value:
    """A number attribute."""
    return {"N": str(value)}


def instant(value: datetime) -> Value:
    """A moment, as ISO 8601 with microseconds, so that strings sort as moments do."""
    return {"S": value.isoformat(timespec="microseconds")}


def json_text(value: Any) -> Value:
    """JSON, readable in the console; for what is small."""
    return {"S": to_json(value).decode()}


def json_packed(value: Any) -> Value:
    """JSON, compressed; for what may be large."""
    return {"B": zlib.compress(to_json(value), 6)}


def unpacked(data: bytes) -> Any:
    """The value that `json_packed` compressed."""
    return from_json(zlib.decompress(data))


def thread_key(tenant: str, thread_id: str) -> Item:
    """Primary key of a thread."""
    return {keys.PK: text(keys.thread_pk(tenant, thread_id)), keys.SK: text(keys.THREAD_SK)}


def run_key(tenant: str, thread_id: str, run_id: str) -> Item:
    """Primary key of a run."""
    return {keys.PK: text(keys.thread_pk(tenant, thread_id)), keys.SK: text(keys.run_sk(run_id))}


def cron_key(tenant: str, cron_id: str) -> Item:
    """Primary key of a cron."""
    return {keys.PK: text(keys.cron_pk(tenant, cron_id)), keys.SK: text(keys.cron_sk(cron_id))}


def cron_mark(tenant: str, thread_id: str, cron_id: str) -> Item:
    """The item by which a thread's cron is found from its thread: its key is all there is to it."""
    return {keys.PK: text(keys.thread_pk(tenant, thread_id)), keys.SK: text(keys.cron_sk(cron_id))}


def cron_to_item(cron: Cron) -> Item:
    """A cron's item."""
    optional = {
        "thread_id": text(cron.thread_id) if cron.thread_id else None,
        "user_id": text(cron.user_id) if cron.user_id else None,
        "timezone": text(cron.timezone) if cron.timezone else None,
        "end_time": instant(cron.end_time) if cron.end_time else None,
        "on_run_completed": text(cron.on_run_completed) if cron.on_run_completed else None,
    }
    return {
        **cron_key(cron.tenant, cron.cron_id),
        "assistant_id": text(cron.assistant_id),
        "schedule": text(cron.schedule),
        "next_run_date": instant(cron.next_run_date),
        "created_at": instant(cron.created_at),
        "updated_at": instant(cron.updated_at),
        "enabled": {"BOOL": cron.enabled},
        "payload": json_packed(cron.payload),
        "metadata": json_text(cron.metadata),
        "revision": number(cron.revision),
        **{name: value for name, value in optional.items() if value is not None},
    }


def cron_from_item(tenant: str, item: Item) -> Cron:
    """A cron as stored."""
    return Cron(
        tenant=tenant,
        cron_id=keys.cron_id_of(item[keys.SK]["S"]),
        assistant_id=item["assistant_id"]["S"],
        schedule=item["schedule"]["S"],
        next_run_date=moment(item, "next_run_date"),
        created_at=moment(item, "created_at"),
        updated_at=moment(item, "updated_at"),
        thread_id=string(item, "thread_id"),
        user_id=string(item, "user_id"),
        timezone=string(item, "timezone"),
        end_time=moment(item, "end_time") if "end_time" in item else None,
        enabled=item["enabled"]["BOOL"],
        on_run_completed=string(item, "on_run_completed"),
        payload=unpacked(item["payload"]["B"]),
        metadata=from_json(item["metadata"]["S"]),
        revision=int(item["revision"]["N"]),
    )


def thread_to_item(thread: Thread) -> Item:
    """A new thread's item."""
    optional = {
        "graph_id": text(thread.graph_id) if thread.graph_id else None,
        "assistant_id": text(thread.assistant_id) if thread.assistant_id else None,
        "owner": text(thread.lease.owner) if thread.lease else None,
        "until_ms": number(thread.lease.until_ms) if thread.lease else None,
        "active_run": text(thread.active_run) if thread.active_run else None,
        "clean": {"BOOL": True} if thread.clean else None,
        "queue": {"L": [text(run_id) for run_id in thread.queue]} if thread.queue else None,
        "config": json_text(thread.config) if thread.config is not None else None,
        "delayed": {"L": [text(run_id) for run_id in thread.delayed]} if thread.delayed else None,
    }
    return {
        **thread_key(thread.tenant, thread.thread_id),
        "status": text(thread.status),
        "created_at": instant(thread.created_at),
        "updated_at": instant(thread.updated_at),
        "metadata": json_text(thread.metadata),
        "epoch": number(thread.epoch),
        **listing(thread.tenant, thread.thread_id, thread.updated_at),
        **(ttl_attributes(thread.ttl) if thread.ttl else {}),
        **{name: value for name, value in optional.items() if value is not None},
    }


def listing(tenant: str, thread_id: str, updated_at: datetime) -> Item:
    """The attributes by which a thread is found in the index of threads by time."""
    moment = updated_at.isoformat(timespec="microseconds")
    return {
        keys.LIST_PK: text(keys.thread_list_pk(tenant, thread_id)),
        keys.LIST_SK: text(keys.thread_list_sk(moment, thread_id)),
    }


def ttl_attributes(ttl: ThreadTtl) -> Item:
    """How long a thread is kept, as its attributes: the strategy, milliseconds, and when they are over."""
    span_ms = int(ttl.span.total_seconds() * 1000)
    return {"ttl": text(ttl.strategy), "ttl_ms": number(span_ms), "due_ms": number(to_ms(ttl.due))}


def ttl_from_item(item: Item) -> ThreadTtl | None:
    """How long a thread is kept."""
    if "ttl" not in item:
        return None
    due = datetime.fromtimestamp(int(item["due_ms"]["N"]) / 1000, UTC)
    return ThreadTtl(TtlStrategy(item["ttl"]["S"]), int(item["ttl_ms"]["N"]) / 60_000, due)


def thread_from_item(tenant: str, thread_id: str, item: Item) -> Thread | None:
    """A thread as stored; None for one that is being deleted."""
    if "deleting" in item:
        return None
    owner = string(item, "owner")
    epoch = int(item["epoch"]["N"])
    return Thread(
        tenant=tenant,
        thread_id=thread_id,
        status=ThreadStatus(item["status"]["S"]),
        created_at=moment(item, "created_at"),
        updated_at=moment(item, "updated_at"),
        state_updated_at=moment(item, "state_updated_at") if "state_updated_at" in item else None,
        metadata=from_json(item["metadata"]["S"]),
        graph_id=string(item, "graph_id"),
        assistant_id=string(item, "assistant_id"),
        epoch=epoch,
        lease=Lease(owner, epoch, int(item["until_ms"]["N"])) if owner else None,
        active_run=string(item, "active_run"),
        queue=tuple(element["S"] for element in item.get("queue", {}).get("L", [])),
        delayed=tuple(element["S"] for element in item.get("delayed", {}).get("L", [])),
        clean="clean" in item,
        checkpoint_id=string(item, "checkpoint_id"),
        error=from_json(item["error"]["S"]) if "error" in item else None,
        config=from_json(item["config"]["S"]) if "config" in item else None,
        ttl=ttl_from_item(item),
    )


def run_to_item(run: Run, arguments: Item) -> Item:
    """A run's item; `arguments` is what it holds of them."""
    optional = {
        "started_at": instant(run.started_at) if run.started_at else None,
        "due_at": instant(run.due_at) if run.due_at else None,
        "present_until_ms": number(run.present_until_ms) if run.present_until_ms is not None else None,
    }
    return {
        **run_key(run.tenant, run.thread_id, run.run_id),
        "assistant_id": text(run.assistant_id),
        "graph_id": text(run.graph_id),
        "status": text(run.status),
        "created_at": instant(run.created_at),
        "updated_at": instant(run.updated_at),
        "multitask_strategy": text(run.multitask_strategy),
        "metadata": json_text(run.metadata),
        "attempt": number(run.attempt),
        "handoffs": number(run.handoffs),
        **arguments,
        **{name: value for name, value in optional.items() if value is not None},
    }


def run_from_item(tenant: str, thread_id: str, item: Item, kwargs: JsonObject) -> Run:
    """A run as stored; `kwargs` are its arguments, wherever they stand."""
    return Run(
        tenant=tenant,
        thread_id=thread_id,
        run_id=keys.run_id_of(item[keys.SK]["S"]),
        assistant_id=item["assistant_id"]["S"],
        graph_id=item["graph_id"]["S"],
        status=RunStatus(item["status"]["S"]),
        created_at=moment(item, "created_at"),
        updated_at=moment(item, "updated_at"),
        multitask_strategy=item["multitask_strategy"]["S"],
        metadata=from_json(item["metadata"]["S"]),
        kwargs=kwargs,
        pieces=int(item["pieces"]["N"]) if "pieces" in item else 0,
        attempt=int(item["attempt"]["N"]),
        handoffs=int(item["handoffs"]["N"]),
        cancel=CancelAction(item["cancel"]["S"]) if "cancel" in item else None,
        started_at=moment(item, "started_at") if "started_at" in item else None,
        ended_at=moment(item, "ended_at") if "ended_at" in item else None,
        error=from_json(item["error"]["S"]) if "error" in item else None,
        checkpoint_id=string(item, "checkpoint_id"),
        due_at=moment(item, "due_at") if "due_at" in item else None,
        webhook_attempts=int(item["webhook_attempts"]["N"]) if "webhook_attempts" in item else 0,
        webhook_until=moment(item, "webhook_until") if "webhook_until" in item else None,
        webhook_sent_at=moment(item, "webhook_sent_at") if "webhook_sent_at" in item else None,
        present_until_ms=int(item["present_until_ms"]["N"]) if "present_until_ms" in item else None,
    )


def key_to_item(run: Run, key: IdempotencyKey) -> Item:
    """The item of the idempotency key under which a run is admitted."""
    return {
        keys.PK: text(keys.idempotency_pk(run.tenant, key.scope, key.key)),
        keys.SK: text(keys.IDEMPOTENCY_SK),
        "thread_id": text(run.thread_id),
        "run_id": text(run.run_id),
        "fingerprint": text(key.fingerprint),
        EXPIRES_AT: number(key.expires_at),
    }


def assistant_to_item(assistant: Assistant) -> Item:
    """The attributes of an assistant or of one of its versions, without the key."""
    description = {} if assistant.description is None else {"description": text(assistant.description)}
    return {
        "graph_id": text(assistant.graph_id),
        "name": text(assistant.name),
        "created_at": instant(assistant.created_at),
        "updated_at": instant(assistant.updated_at),
        "config": json_packed(assistant.config),
        "context": json_packed(assistant.context),
        "metadata": json_text(assistant.metadata),
        "version": number(assistant.version),
        "newest": number(assistant.newest),
        "revision": number(assistant.revision),
        **description,
    }


def assistant_from_item(assistant_id: str, item: Item) -> Assistant:
    """An assistant or one of its versions as stored."""
    return Assistant(
        assistant_id=assistant_id,
        graph_id=item["graph_id"]["S"],
        name=item["name"]["S"],
        created_at=moment(item, "created_at"),
        updated_at=moment(item, "updated_at"),
        config=unpacked(item["config"]["B"]),
        context=unpacked(item["context"]["B"]),
        metadata=from_json(item["metadata"]["S"]),
        version=int(item["version"]["N"]),
        description=string(item, "description"),
        newest=int(item["newest"]["N"]),
        revision=int(item["revision"]["N"]),
    )


def string(item: Item, name: str) -> str | None:
    """An optional string attribute."""
    value: str | None = item.get(name, {}).get("S")
    return value


def moment(item: Item, name: str) -> datetime:
    """A moment that `instant` stored."""
    return datetime.fromisoformat(item[name]["S"])
