"""The requests that list threads, hold them without a run, and let them go: whole, as DynamoDB gets them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from handler.domain.lease import Lease
from handler.domain.models import StateChange, Thread, ThreadTtl, TtlStrategy, to_ms
from handler.domain.status import ThreadStatus
from handler.storage import keys, thread_statements
from handler.storage.items import thread_from_item, thread_to_item

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
THREAD = Thread("acme", "T", ThreadStatus.IDLE, NOW, NOW, epoch=69)
LEASE = Lease("owner", 70, 90000)


def test_a_hold_takes_a_free_thread_that_is_as_seen_and_that_nobody_else_holds() -> None:
    assert thread_statements.hold(THREAD, LEASE, NOW) == {
        "Key": {"PK": {"S": "T#acme#T"}, "SK": {"S": "THREAD"}},
        "UpdateExpression": "SET #owner = :owner, #epoch = :epoch, #until = :until REMOVE #clean",
        "ConditionExpression": (
            "attribute_exists(#pk) AND attribute_not_exists(#deleting) AND attribute_not_exists(#active) "
            "AND (attribute_not_exists(#queue) OR size(#queue) = :zero) "
            "AND (attribute_not_exists(#owner) OR #until < :dead) AND #epoch = :seen"
        ),
        "ExpressionAttributeNames": {
            "#pk": "PK",
            "#owner": "owner",
            "#epoch": "epoch",
            "#until": "until_ms",
            "#active": "active_run",
            "#queue": "queue",
            "#clean": "clean",
            "#deleting": "deleting",
        },
        "ExpressionAttributeValues": {
            ":owner": {"S": "owner"},
            ":epoch": {"N": "70"},
            ":until": {"N": "90000"},
            ":zero": {"N": "0"},
            ":seen": {"N": "69"},
            ":dead": {"N": str(to_ms(NOW) - 2000)},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_a_release_is_the_holders_alone_and_says_what_became_of_the_state() -> None:
    request = thread_statements.release(THREAD, LEASE, StateChange(ThreadStatus.IDLE, "C"), NOW, clean=True)
    assert request["ConditionExpression"] == "#owner = :owner AND #epoch = :epoch"
    assert request["UpdateExpression"] == (
        "SET #clean = :clean, #due = if_not_exists(#ttl_ms, :forever) + :now_ms, #status = :status, #updated = :now, "
        "#state_updated = :now, #list_sk = :list_sk, #checkpoint = :checkpoint REMOVE #owner, #until, #error"
    )
    nothing = thread_statements.release(THREAD, LEASE, None, NOW, clean=True)["UpdateExpression"]
    assert nothing == "SET #clean = :clean REMOVE #owner, #until"
    unclean = thread_statements.release(THREAD, LEASE, None, NOW, clean=False)["UpdateExpression"]
    assert unclean == "REMOVE #owner, #until"


def test_only_a_thread_that_is_due_and_free_is_let_go() -> None:
    request = thread_statements.begin_expiry("acme", "T", NOW)
    assert request["ConditionExpression"] == (
        "attribute_exists(#deleting) OR (#ttl = :delete AND #due <= :now_ms AND attribute_not_exists(#active) "
        "AND (attribute_not_exists(#queue) OR size(#queue) = :zero) "
        "AND (attribute_not_exists(#delayed) OR size(#delayed) = :zero))"
    )
    assert request["ExpressionAttributeValues"] == {
        ":true": {"BOOL": True},
        ":delete": {"S": "delete"},
        ":now_ms": {"N": str(to_ms(NOW))},
        ":zero": {"N": "0"},
    }


def test_an_expiry_is_found_by_its_day_and_names_its_thread() -> None:
    item = thread_statements.put_expiry("a#c", "T#1", NOW)["Item"]
    assert item["SK"] == {"S": "2026-01-02T03:04:05.000+00:00#a%23c#T%231"}
    assert item["expires_at"] == {"N": str(int(NOW.timestamp()) + 1)}
    assert keys.expiring_thread(item["SK"]["S"]) == ("a#c", "T#1")
    found = thread_statements.list_expiries(NOW.date(), keys.expiry_shard("T#1"), NOW + timedelta(seconds=1))
    assert found["ExpressionAttributeValues"][":pk"] == item["PK"]
    assert item["SK"]["S"] < found["ExpressionAttributeValues"][":end"]["S"]


def test_a_shard_is_read_from_either_end() -> None:
    request = thread_statements.list_shard("acme", 3, newest_first=True, limit=7)
    assert (request["IndexName"], request["ScanIndexForward"], request["Limit"]) == ("GSI1", False, 7)
    assert request["ExpressionAttributeValues"] == {":shard": {"S": "L#acme#3"}}
    assert "Limit" not in thread_statements.list_shard("acme", 3)
    assert thread_statements.list_shard("acme", 3, newest_first=False)["ScanIndexForward"] is True


def test_a_time_to_live_comes_back_as_it_was_stored() -> None:
    for ttl in (None, ThreadTtl(TtlStrategy.KEEP_LATEST, 0.5, NOW.replace(microsecond=0))):
        item = thread_to_item(replace(THREAD, ttl=ttl))
        found = thread_from_item("acme", "T", item)
        assert found is not None
        assert found.ttl == ttl
        assert "expires_at" not in item, "DynamoDB would delete the thread and leave its checkpoints"
