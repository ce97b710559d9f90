"""The dictionary answers as moto does, request by request, in whole scenarios."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.engines import Engine, moto_serialised
from tests.faults.dictionary import Dictionary, Request
from tests.faults.trials import Trials
from tests.faults.world import SETTINGS

COMPARED = (
    "two_waits_enqueue_enqueue_together",
    "two_waits_reject_interrupt_together",
    "interrupt_sweeps_the_queue",
    "rollback_on_history",
    "cancel_delete_early",
    "cancel_a_queued_run",
    "hand_offs",
    "zombie",
    "question_and_answer",
)


class Compared(Dictionary):
    """A table that asks moto as well, and keeps where the two differ."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.client = engine.dynamodb()
        self.differences: list[str] = []
        self.requests = 0

    def execute(self, operation: str, request: Request) -> dict[str, Any]:
        """Answer from the dictionary."""
        self.requests += 1
        try:
            theirs = comparable(getattr(self.client, operation)(**request))
        except ClientError as refusal:
            theirs = refused_with(refusal)
        try:
            answer = super().execute(operation, request)
        except ClientError as refusal:
            self._compare(operation, request, refused_with(refusal), theirs)
            raise
        self._compare(operation, request, comparable(answer), theirs)
        return answer

    def _compare(self, operation: str, request: Request, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            self.differences.append(f"{operation} {request}: {ours}, and moto says {theirs}")


def comparable(answer: Any) -> dict[str, Any]:
    """What of an answer a caller looks at; a last page may or may not name a key to go on from."""
    return {name: answer[name] for name in ("Item", "Items", "Attributes") if name in answer}


def refused_with(refusal: ClientError) -> dict[str, Any]:
    """What of a refusal a caller looks at."""
    response: Any = refusal.response
    reasons = [(reason["Code"], reason.get("Item")) for reason in response.get("CancellationReasons", [])]
    return {"refused": response["Error"]["Code"], "item": response.get("Item"), "reasons": reasons}


@pytest.fixture(scope="module")
def moto() -> Iterator[Engine]:
    """moto, with a table of the service's name."""
    with moto_serialised() as engine:
        engine.create_table(SETTINGS.table_name)
        yield engine
        engine.dynamodb().delete_table(TableName=SETTINGS.table_name)
        engine.dynamodb().close()


@pytest.mark.parametrize("scenario", COMPARED)
def test_dictionary_answers_as_moto_does(moto: Engine, scenario: str) -> None:
    table = Compared(moto)
    client = moto.dynamodb()
    for item in client.scan(TableName=SETTINGS.table_name)["Items"]:
        client.delete_item(TableName=SETTINGS.table_name, Key={name: item[name] for name in ("PK", "SK")})
    Trials(scenario, lambda: table).undisturbed()
    assert table.requests > 15
    assert not table.differences, "\n".join(table.differences[:3])
