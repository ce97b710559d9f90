"""Every DynamoDB request about a run's own item, and what a thread shows of its run, as pure functions."""

from datetime import datetime
from typing import Any

from handler.domain.models import CancelAction, IdempotencyKey, JsonObject, Outcome, Run
from handler.domain.status import RunStatus, predecessors
from handler.storage import items
from handler.storage.items import Value, instant, json_text, number, text
from handler.storage.statements import Request, conditional, update
from handler.storage.table import Item

CONFIG_BYTES = 2_000
"""A run's config up to this size is shown on its thread."""

# The run's arguments stand in its item, and nowhere else. Refused, the item says how many pieces there are.
NO_PIECES = "attribute_not_exists(#pieces)"

RUN_ON_THREAD = "#active = :run, #graph = :graph, #assistant = :assistant"

# A thread that no run has had names its first one while that waits; another keeps its own until the next begins.
FIRST_RUN_ON_THREAD = "#graph = if_not_exists(#graph, :graph), #assistant = if_not_exists(#assistant, :assistant)"


def run_begins(run: Run, now: datetime, *, handed_on: bool) -> Request:
    """Update of a run on which a driver starts.

    The attempt is as seen: who read the run before another driver began on it would give it its input again.
    """
    move = move_to(RunStatus.RUNNING)
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #status = :to, #updated = :now, #started = if_not_exists(#started, :now) "
        "ADD #attempt :one, #handoffs :handed",
        f"{move['condition']} AND #attempt = :attempt",
        {
            **move["values"],
            ":now": instant(now),
            ":one": number(1),
            ":handed": number(int(handed_on)),
            ":attempt": number(run.attempt),
        },
    )


def run_ends(key: Item, outcome: Outcome, now: datetime, *, unread: bool = False) -> dict[str, Request]:
    """Update (or Delete, as the outcome wants it) of a run that ends, where the table of moves allows it.

    `unread`: the caller does not know of the run's pieces, and does not delete it if there are any.
    """
    move = move_to(outcome.status)
    if outcome.deletes_run:
        condition = f"{move['condition']} AND {NO_PIECES}" if unread else move["condition"]
        return {"Delete": conditional({"Key": key}, "", condition, move["values"])}
    sets = ["#status = :to", "#updated = :now", "#ended = :now"]
    if outcome.checkpoint_id is not None:
        sets.append("#checkpoint = :checkpoint")
    if outcome.error is not None:
        sets.append("#error = :error")
    values = {**move["values"], ":now": instant(now), **outcome_values(outcome)}
    return {"Update": update(key, f"SET {', '.join(sets)}", move["condition"], values)}


def run_is_stopped(run: Run, action: CancelAction, now: datetime) -> Request:
    """Update of an active run that is to be stopped by `action`; the first who says so is heeded."""
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #cancel = if_not_exists(#cancel, :action), #updated = :now",
        "#status = :running",
        {":action": text(action), ":running": text(RunStatus.RUNNING), ":now": instant(now)},
    )


def note_presence(run: Run, until_ms: int) -> Request:
    """UpdateItem: a run that has not ended is still waited for."""
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #present = :until",
        "attribute_exists(#present) AND attribute_not_exists(#ended)",
        {":until": number(until_ms)},
    )


def begin_webhook(run: Run, until: datetime) -> Request:
    """UpdateItem: one more attempt to tell a run's webhook of its end, unless another has begun since it was read."""
    first = run.webhook_attempts == 0
    as_seen = "attribute_not_exists(#hook_attempts)" if first else "#hook_attempts = :seen"
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #hook_attempts = :attempts, #hook_until = :until",
        f"attribute_exists(#ended) AND attribute_not_exists(#hook_sent) AND {as_seen}",
        {
            ":attempts": number(run.webhook_attempts + 1),
            ":until": instant(until),
            ":seen": number(run.webhook_attempts),
        },
    )


def end_webhook(run: Run, now: datetime) -> Request:
    """UpdateItem: a run's webhook needs no more telling."""
    return update(
        items.run_key(run.tenant, run.thread_id, run.run_id),
        "SET #hook_sent = :now",
        "attribute_exists(#pk)",
        {":now": instant(now)},
    )


def put_key(run: Run, key: IdempotencyKey, now: datetime) -> Request:
    """PutItem of an idempotency key, unless one stands that has not expired; TTL may be days late."""
    request = {"Item": items.key_to_item(run, key)}
    condition = "attribute_not_exists(#pk) OR #expires < :now_s"
    return conditional(request, "", condition, {":now_s": number(int(now.timestamp()))})


def move_to(status: RunStatus) -> dict[str, Any]:
    """Condition and values that let a run move to `status`, derived from the table of moves."""
    before = predecessors(status)
    names = [f":from{index}" for index in range(len(before))]
    return {
        "condition": f"#status IN ({', '.join(names)})",
        "values": {":to": text(status), **{name: text(value) for name, value in zip(names, before, strict=True)}},
    }


def run_values(run: Run) -> dict[str, Value]:
    """The values by which a thread names its run."""
    values = {":run": text(run.run_id), ":graph": text(run.graph_id), ":assistant": text(run.assistant_id)}
    config = shown_config(run)
    return {**values, ":config": json_text(config)} if config else values


def shown_config(run: Run) -> JsonObject | None:
    """The config that a run's thread shows; None for the usual one, which costs nothing, and for one that is large."""
    asked = {name: value for name, value in (run.kwargs.get("config") or {}).items() if name != "configurable"}
    config = {**asked, "configurable": {}}
    return config if asked and len(json_text(config)["S"]) <= CONFIG_BYTES else None


def config_set(run: Run) -> str:
    """The part of an update that notes the config of the thread's run."""
    return ", #config = :config" if shown_config(run) else ""


def outcome_values(outcome: Outcome) -> dict[str, Value]:
    """The values of an outcome, those of them that there are."""
    values: dict[str, Value] = {}
    if outcome.checkpoint_id is not None:
        values[":checkpoint"] = text(outcome.checkpoint_id)
    if outcome.error is not None:
        values[":error"] = json_text(outcome.error)
    if outcome.thread_error is not None:
        values[":thread_error"] = json_text(outcome.thread_error)
    return values
