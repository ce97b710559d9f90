"""The requests about threads and runs, as they are sent: whole, self-consistent, derived from the table of moves."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from handler.domain.lease import CLOCK_SKEW_MS, Lease
from handler.domain.models import CancelAction, Claim, Outcome, Run, Thread
from handler.domain.ports import Where
from handler.domain.status import RUN_MOVES, RunStatus, ThreadStatus
from handler.storage import lease_statements, queue_statements, run_statements, statements, thread_statements
from handler.storage.items import run_key, run_to_item, thread_to_item
from handler.storage.statements import NAMES, Request

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 3, 4, 9, tzinfo=UTC)
RUN = Run("acme", "T", "R", "A", "G", RunStatus.PENDING, NOW, NOW, "enqueue")
LEASE = Lease("owner", 70, 90_000)
SEEN = Thread("acme", "T", ThreadStatus.IDLE, NOW, NOW, epoch=69)
CLAIM = Claim(RUN, LEASE, clean=True)
DONE = Outcome(RunStatus.SUCCESS, ThreadStatus.IDLE, checkpoint_id="C")
ERROR = {"error": "E", "message": "m"}
FAILED = Outcome(RunStatus.ERROR, ThreadStatus.ERROR, error=ERROR, thread_error=ERROR)
UNDONE = Outcome(RunStatus.INTERRUPTED, ThreadStatus.IDLE, deletes_run=True, keeps_thread=True)
WAITED_FOR = replace(SEEN, active_run="R", queue=("Q0", "R", "Q2"))
KEY = run_key("acme", "T", "R")
CANCELLED = Outcome(RunStatus.INTERRUPTED, ThreadStatus.INTERRUPTED)

CONDITIONAL: dict[str, Callable[[], Request]] = {
    "put_new thread": lambda: statements.put_new(thread_to_item(SEEN)),
    "put_new run": lambda: statements.put_new(run_to_item(RUN, {"kwargs": {"B": b"x"}})),
    "merge_metadata": lambda: thread_statements.merge_metadata(SEEN, {"S": "{}"}, {"S": "{}"}, NOW),
    "begin_deletion": lambda: thread_statements.begin_deletion("acme", "T"),
    "admit unseen": lambda: lease_statements.admit_on_thread(RUN, LEASE, seen=None),
    "admit seen": lambda: lease_statements.admit_on_thread(RUN, LEASE, seen=SEEN),
    **{
        f"enqueue {where}": lambda where=where: queue_statements.enqueue_on_thread(RUN, where, 90)  # type: ignore[misc]
        for where in Where
    },
    "usurp": lambda: lease_statements.usurp_on_thread(RUN, LEASE, SEEN, None),
    "usurp for another": lambda: lease_statements.usurp_on_thread(RUN, LEASE, SEEN, RUN),
    "usurp before others": lambda: lease_statements.usurp_on_thread(RUN, LEASE, WAITED_FOR, RUN),
    "usurp the queue": lambda: lease_statements.usurp_on_thread(None, LEASE, WAITED_FOR, RUN),
    "cancel_queued": lambda: queue_statements.cancel_queued_on_thread(RUN, WAITED_FOR),
    "hand_off": lambda: lease_statements.hand_off(CLAIM, clean=True),
    "settle undone": lambda: lease_statements.settle_on_thread(CLAIM, UNDONE, LATER, queued=False),
    "start": lambda: queue_statements.start_on_thread(RUN, LEASE, SEEN),
    "take_over": lambda: lease_statements.take_over_on_thread(RUN, LEASE, SEEN, 100_000),
    "renew": lambda: lease_statements.renew(CLAIM, LEASE),
    "settle": lambda: lease_statements.settle_on_thread(CLAIM, DONE, LATER, queued=False),
    "settle queued": lambda: lease_statements.settle_on_thread(CLAIM, DONE, LATER, queued=True),
    "settle failed": lambda: lease_statements.settle_on_thread(CLAIM, FAILED, LATER, queued=False),
    "settle cancelled": lambda: lease_statements.settle_on_thread(CLAIM, CANCELLED, LATER, queued=True),
    "run_begins": lambda: run_statements.run_begins(RUN, NOW, handed_on=False),
    "run_begins handed on": lambda: run_statements.run_begins(RUN, NOW, handed_on=True),
    **{
        f"run_ends {status}": lambda status=status: run_statements.run_ends(  # type: ignore[misc]
            KEY, Outcome(status, ThreadStatus.IDLE, checkpoint_id="C"), LATER
        )["Update"]
        for status in RunStatus
        if status is not RunStatus.PENDING
    },
    "run_ends failed": lambda: run_statements.run_ends(KEY, FAILED, LATER)["Update"],
    "run_ends undone": lambda: run_statements.run_ends(KEY, UNDONE, LATER)["Delete"],
    "run_ends undone unread": lambda: run_statements.run_ends(KEY, UNDONE, LATER, unread=True)["Delete"],
    "run_is_stopped": lambda: run_statements.run_is_stopped(RUN, CancelAction.INTERRUPT, NOW),
}
READS: dict[str, Callable[[], Request]] = {
    "query": lambda: statements.query_prefix("acme", "T", "R#"),
    "query keys": lambda: statements.query_prefix("acme", "T", "R#", keys_only=True),
    "query all": lambda: statements.query_prefix("acme", "T", ""),
    "query all keys": lambda: statements.query_prefix("acme", "T", "", keys_only=True, forward=False),
}
EXPRESSIONS = ("UpdateExpression", "ConditionExpression", "KeyConditionExpression", "ProjectionExpression")


def spelt(request: Request) -> str:
    return " ".join(request[name] for name in EXPRESSIONS if name in request)


@pytest.mark.parametrize("name", [*CONDITIONAL, *READS])
def test_names_and_values_are_those_of_the_expressions_no_more_no_less(name: str) -> None:
    request = (CONDITIONAL | READS)[name]()
    used = set(re.findall(r"[#:][A-Za-z0-9_]+", spelt(request)))
    assert set(request.get("ExpressionAttributeNames", {})) == {word for word in used if word.startswith("#")}
    assert set(request.get("ExpressionAttributeValues", {})) == {word for word in used if word.startswith(":")}
    # An attribute is never written bare, so that none can collide with a reserved word.
    words = set(re.findall(r"(?<![#:\w])[A-Za-z_]\w*", spelt(request)))
    functions = {"attribute_exists", "attribute_not_exists", "begins_with", "if_not_exists", "list_append", "size"}
    assert words <= functions | {"SET", "REMOVE", "ADD", "AND", "OR", "IN"}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_every_conditional_write_tells_what_it_was_refused_by(name: str) -> None:
    request = CONDITIONAL[name]()
    assert request["ConditionExpression"]
    assert request["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


BEGINNINGS = ("merge_metadata", "admit", "enqueue", "start", "take_over", "usurp", "cancel_queued")


@pytest.mark.parametrize("name", [name for name in CONDITIONAL if name.split()[0] in BEGINNINGS])
def test_nothing_begins_on_a_thread_that_is_gone_or_going(name: str) -> None:
    condition = CONDITIONAL[name]()["ConditionExpression"]
    assert condition.startswith("attribute_exists(#pk) AND attribute_not_exists(#deleting) AND ")


def test_a_name_stands_for_one_attribute_and_an_attribute_has_one_name() -> None:
    assert len(set(NAMES.values())) == len(NAMES)


@pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.PENDING])
def test_a_run_moves_to_a_status_only_from_where_the_table_lets_it(status: RunStatus) -> None:
    move = run_statements.move_to(status)
    values = dict(move["values"])
    assert values.pop(":to") == {"S": status.value}
    before = {status for status, following in RUN_MOVES.items() if move["values"][":to"]["S"] in following}
    assert {value["S"] for value in values.values()} == before
    assert move["condition"] == f"#status IN ({', '.join(values)})"


def test_no_run_becomes_pending_again() -> None:
    assert run_statements.move_to(RunStatus.PENDING)["values"] == {":to": {"S": "pending"}}


def test_admission_without_a_look_takes_a_clean_free_thread_under_a_higher_epoch() -> None:
    assert lease_statements.admit_on_thread(RUN, LEASE, seen=None) == {
        "Key": {"PK": {"S": "T#acme#T"}, "SK": {"S": "THREAD"}},
        "UpdateExpression": (
            "SET #owner = :owner, #epoch = :epoch, #until = :until, #active = :run, #graph = :graph, "
            "#assistant = :assistant, #updated = :now REMOVE #clean"
        ),
        "ConditionExpression": (
            "attribute_exists(#pk) AND attribute_not_exists(#deleting) AND attribute_not_exists(#active) "
            "AND (attribute_not_exists(#queue) OR size(#queue) = :zero) "
            "AND (attribute_not_exists(#ttl) OR #ttl = :keep_latest OR #due > :now_ms "
            "OR (attribute_exists(#delayed) AND size(#delayed) > :zero)) "
            "AND attribute_exists(#clean) AND #epoch < :epoch"
        ),
        "ExpressionAttributeNames": {
            "#pk": "PK",
            "#owner": "owner",
            "#epoch": "epoch",
            "#until": "until_ms",
            "#active": "active_run",
            "#queue": "queue",
            "#delayed": "delayed",
            "#clean": "clean",
            "#deleting": "deleting",
            "#graph": "graph_id",
            "#assistant": "assistant_id",
            "#updated": "updated_at",
            "#ttl": "ttl",
            "#due": "due_ms",
        },
        "ExpressionAttributeValues": {
            ":keep_latest": {"S": "keep_latest"},
            ":now_ms": {"N": "1767323045000"},
            ":owner": {"S": "owner"},
            ":epoch": {"N": "70"},
            ":until": {"N": "90000"},
            ":run": {"S": "R"},
            ":graph": {"S": "G"},
            ":assistant": {"S": "A"},
            ":zero": {"N": "0"},
            ":now": {"S": "2026-01-02T03:04:05.000006+00:00"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_admission_after_a_look_takes_the_thread_as_it_was_seen_clean_or_not() -> None:
    unseen = lease_statements.admit_on_thread(RUN, LEASE, seen=None)
    seen = lease_statements.admit_on_thread(RUN, LEASE, seen=SEEN)
    assert seen["ConditionExpression"] == unseen["ConditionExpression"].replace(
        "attribute_exists(#clean) AND #epoch < :epoch", "#epoch = :seen"
    )
    assert seen["ExpressionAttributeValues"] == {**unseen["ExpressionAttributeValues"], ":seen": {"N": "69"}}
    same = ("Key", "UpdateExpression", "ExpressionAttributeNames")
    assert [seen[name] for name in same] == [unseen[name] for name in same]


def settled(outcome: Outcome, *, queued: bool) -> Request:
    return lease_statements.settle_on_thread(CLAIM, outcome, LATER, queued=queued)


def test_settlement_frees_a_thread_that_is_still_held_and_for_which_nobody_waits() -> None:
    assert settled(DONE, queued=False) == {
        "Key": {"PK": {"S": "T#acme#T"}, "SK": {"S": "THREAD"}},
        "UpdateExpression": (
            "SET #updated = :now, #clean = :clean, #due = if_not_exists(#ttl_ms, :forever) + :now_ms, "
            "#status = :status, #state_updated = :now, #list_sk = :list_sk, "
            "#checkpoint = :checkpoint REMOVE #owner, #until, #active, #error"
        ),
        "ConditionExpression": (
            "#owner = :owner AND #epoch = :epoch AND (attribute_not_exists(#queue) OR size(#queue) = :zero)"
        ),
        "ExpressionAttributeNames": {
            "#status": "status",
            "#owner": "owner",
            "#epoch": "epoch",
            "#until": "until_ms",
            "#active": "active_run",
            "#queue": "queue",
            "#clean": "clean",
            "#updated": "updated_at",
            "#state_updated": "state_updated_at",
            "#error": "error",
            "#checkpoint": "checkpoint_id",
            "#list_sk": "GSI1SK",
            "#ttl_ms": "ttl_ms",
            "#due": "due_ms",
        },
        "ExpressionAttributeValues": {
            ":forever": {"N": "100000000000000"},
            ":now_ms": {"N": "1767323049000"},
            ":owner": {"S": "owner"},
            ":epoch": {"N": "70"},
            ":status": {"S": "idle"},
            ":now": {"S": "2026-01-02T03:04:09.000000+00:00"},
            ":clean": {"BOOL": True},
            ":list_sk": {"S": "2026-01-02T03:04:09.000000+00:00#T"},
            ":checkpoint": {"S": "C"},
            ":zero": {"N": "0"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_settlement_with_others_waiting_asks_only_whether_the_lease_is_held() -> None:
    assert settled(DONE, queued=True)["ConditionExpression"] == "#owner = :owner AND #epoch = :epoch"
    assert settled(DONE, queued=True)["UpdateExpression"] == settled(DONE, queued=False)["UpdateExpression"]


def test_a_failure_is_kept_on_the_thread_until_a_run_ends_well() -> None:
    assert ", #error = :thread_error REMOVE #owner, #until, #active" in settled(FAILED, queued=True)["UpdateExpression"]
    assert settled(FAILED, queued=True)["UpdateExpression"].endswith("#active")
    assert settled(FAILED, queued=True)["ExpressionAttributeValues"][":thread_error"] == {
        "S": '{"error":"E","message":"m"}'
    }
    assert settled(CANCELLED, queued=True)["UpdateExpression"].endswith("REMOVE #owner, #until, #active, #error")


def test_a_run_that_left_no_checkpoint_leaves_the_threads_alone() -> None:
    assert "#checkpoint" not in spelt(settled(CANCELLED, queued=True))


def test_a_run_ends_whole() -> None:
    assert run_statements.run_ends(KEY, DONE, LATER)["Update"] == {
        "Key": {"PK": {"S": "T#acme#T"}, "SK": {"S": "R#R"}},
        "UpdateExpression": "SET #status = :to, #updated = :now, #ended = :now, #checkpoint = :checkpoint",
        "ConditionExpression": "#status IN (:from0)",
        "ExpressionAttributeNames": {
            "#status": "status",
            "#updated": "updated_at",
            "#ended": "ended_at",
            "#checkpoint": "checkpoint_id",
        },
        "ExpressionAttributeValues": {
            ":to": {"S": "success"},
            ":from0": {"S": "running"},
            ":now": {"S": "2026-01-02T03:04:09.000000+00:00"},
            ":checkpoint": {"S": "C"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


@pytest.mark.parametrize(("handed_on", "counted"), [(False, "0"), (True, "1")])
def test_a_driver_counts_itself_and_whether_it_was_handed_the_run(handed_on: bool, counted: str) -> None:
    request = run_statements.run_begins(RUN, NOW, handed_on=handed_on)
    assert request["ExpressionAttributeValues"][":handed"] == {"N": counted}
    assert request["UpdateExpression"].endswith("ADD #attempt :one, #handoffs :handed")


def test_a_lease_counts_as_dead_only_after_the_clock_skew() -> None:
    request = lease_statements.take_over_on_thread(RUN, LEASE, SEEN, 100_000)
    assert request["ExpressionAttributeValues"][":dead"] == {"N": str(100_000 - CLOCK_SKEW_MS)}
    assert "#until < :dead" in request["ConditionExpression"]


def test_taking_a_lease_always_removes_the_mark_of_a_clean_end() -> None:
    for name in ("admit unseen", "admit seen", "start", "take_over", "usurp"):
        assert re.search(r"REMOVE .*#clean", CONDITIONAL[name]()["UpdateExpression"])


def test_no_statement_of_a_lease_writes_a_key_of_the_index() -> None:
    for name in ("admit unseen", "enqueue any", "start", "take_over", "renew", "usurp", "hand_off"):
        assert "#list" not in CONDITIONAL[name]()["UpdateExpression"]


def test_reads_are_strongly_consistent() -> None:
    assert all(read()["ConsistentRead"] is True for read in READS.values())
    key: dict[str, Any] = {"PK": {"S": "p"}}
    assert statements.get_strong(key) == {"Key": key, "ConsistentRead": True}


def test_statements_change_nothing_that_they_were_given() -> None:
    thread = replace(SEEN, queue=("R",))
    queue_statements.start_on_thread(RUN, LEASE, thread)
    assert (thread.queue, RUN.status) == (("R",), RunStatus.PENDING)


def test_a_run_that_is_undone_goes_and_leaves_the_thread_as_it_was() -> None:
    assert run_statements.run_ends(KEY, UNDONE, LATER) == {
        "Delete": {
            "Key": {"PK": {"S": "T#acme#T"}, "SK": {"S": "R#R"}},
            "ConditionExpression": "#status IN (:from0, :from1)",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":from0": {"S": "pending"}, ":from1": {"S": "running"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
    settled_undone = settled(UNDONE, queued=True)["UpdateExpression"]
    renewed = "#due = if_not_exists(#ttl_ms, :forever) + :now_ms"
    assert settled_undone == f"SET #updated = :now, #clean = :clean, {renewed} REMOVE #owner, #until, #active"


def test_a_run_leaves_the_queue_from_its_own_place() -> None:
    request = queue_statements.cancel_queued_on_thread(RUN, WAITED_FOR)
    assert request["UpdateExpression"] == "REMOVE #queue[1]"
    assert request["ConditionExpression"].endswith("AND #queue[1] = :run")


def test_who_interrupts_takes_the_place_of_just_those_who_were_seen_to_wait() -> None:
    request = lease_statements.usurp_on_thread(RUN, LEASE, WAITED_FOR, RUN)
    assert request["ExpressionAttributeValues"][":line_seen"] == {"L": [{"S": "Q0"}, {"S": "R"}, {"S": "Q2"}]}
    assert request["ExpressionAttributeValues"][":line"] == {"L": [{"S": "R"}]}
    assert "#queue = :line_seen" in request["ConditionExpression"]
    assert "#active = :run" in request["ConditionExpression"]
    nobody = lease_statements.usurp_on_thread(RUN, LEASE, SEEN, RUN)["ConditionExpression"]
    assert "(attribute_not_exists(#queue) OR size(#queue) = :zero)" in nobody


def test_the_first_way_in_which_a_run_is_stopped_stands() -> None:
    request = run_statements.run_is_stopped(RUN, CancelAction.ROLLBACK, NOW)
    assert "#cancel = if_not_exists(#cancel, :action)" in request["UpdateExpression"]
    assert request["ExpressionAttributeValues"][":action"] == {"S": "rollback"}
