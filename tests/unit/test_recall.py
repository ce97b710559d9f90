"""What a process remembers of the threads that it drove last."""

from datetime import UTC, datetime

from handler.domain.models import Run
from handler.domain.status import RunStatus
from handler.runs.recall import Recall, Recollection

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def run_on(thread_id: str, tenant: str = "acme") -> Run:
    return Run(tenant, thread_id, "R", "A", "G", RunStatus.PENDING, NOW, NOW, "enqueue")


def test_a_thread_is_recalled_once_for_its_own_tenant() -> None:
    recall, known = Recall(), Recollection(7, {"": 3})
    recall.note(run_on("T"), known)
    assert recall.take(run_on("T", tenant="globex")) is None
    assert recall.take(run_on("other")) is None
    assert recall.take(run_on("T")) is known
    assert recall.take(run_on("T")) is None


def test_the_thread_that_was_driven_longest_ago_is_forgotten_first() -> None:
    recall = Recall(capacity=2)
    for thread_id in ("one", "two", "one", "three"):
        recall.note(run_on(thread_id), Recollection(1, {"": len(thread_id)}))
    assert recall.take(run_on("two")) is None
    assert recall.take(run_on("one")) is not None
    assert recall.take(run_on("three")) is not None
