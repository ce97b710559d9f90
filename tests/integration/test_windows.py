"""Waits behind a gateway: what each client is told when the window closes, and that nothing is lost by it."""

import asyncio
import gzip
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from handler.api.app import create_app
from handler.bootstrap import build_services, create_queue, create_table
from handler.domain.lease import LeaseTerms
from handler.errors import StorageUnavailable
from handler.local_worker import LocalWorker
from handler.runs.driver import Limits
from handler.storage.queue import SqsWakes
from tests.conftest import new_settings, serving
from tests.engines import Engine
from tests.in_lambda import Context, InLambda, wait_request

pytestmark = pytest.mark.slow  # windows are real time: seconds, for a machine that has its CPU to itself

GATEWAY_S = 1.0
WINDOW_S = 0.8
SHORT = LeaseTerms(heartbeat_s=0.2)
OLD_SDK = "langgraph-sdk-py/0.4.9"
NEW_SDK = "langgraph-sdk-py/0.4.14"


def in_lambda(engine: Engine, *, held: bool = True, **settings: Any) -> InLambda:
    """The service with a table and a queue of its own."""
    chosen = new_settings(
        tenant_claim="",
        queue_url=create_queue(engine.sqs(), f"q-{uuid.uuid4().hex[:12]}"),
        **{"gateway_timeout_seconds": GATEWAY_S, **settings},
    )
    create_table(engine.dynamodb(), chosen.table_name)
    limits = Limits(terms=SHORT)
    wakes = SqsWakes(engine.sqs(), chosen.queue_url)
    return InLambda(build_services(chosen, dynamodb=engine.new_dynamodb(), wakes=wakes, limits=limits), held=held)


@pytest.fixture(scope="module")
def service(engine: Engine) -> InLambda:
    """One service for the tests that change no setting."""
    return in_lambda(engine)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file whose coming lets runs of `gated` end."""
    return tmp_path / "gate"


def gated(gate: Path, **more: Any) -> dict[str, Any]:
    """The body of a run that waits for a file."""
    return {"assistant_id": "log", "input": {"n": 1, "until": str(gate)}, "if_not_exists": "create", **more}


def lasting(seconds: float, steps: int = 1, **more: Any) -> dict[str, Any]:
    """The body of a run that lasts so long."""
    state = {"steps": steps, "seconds": seconds / steps}
    return {"assistant_id": "long", "input": state, "if_not_exists": "create", **more}


# ---------------------------------------------------------------------- what each client is told


def test_whoever_follows_redirects_is_sent_to_the_join_below_the_stage(service: InLambda, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    first = service.wait(thread_id, gated(gate))
    (run,) = service.runs(thread_id)
    where = f"/prod/threads/{thread_id}/runs/{run['run_id']}/join?r=1"
    assert first.status == 303
    assert first.headers["location"].startswith("https://")
    assert first.headers["location"].endswith(where)
    again = service.get(first.headers["location"])
    assert (again.status, again.headers["location"]) == (303, first.headers["location"])
    gate.touch()
    service.quiet()
    assert service.get(first.headers["location"]).json()["entries"] == ["e-0"]


def test_a_python_sdk_that_reconnects_gets_a_body_that_makes_it(service: InLambda, gate: Path) -> None:
    first = service.wait(str(uuid.uuid4()), gated(gate), user_agent=NEW_SDK)
    assert (first.status, first.headers["content-encoding"]) == (200, "gzip")
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(first.body)
    polled = service.get(first.headers["location"], user_agent=NEW_SDK)
    assert (polled.status, polled.headers["retry-after"]) == (503, "1")
    joined_by_hand = service.get(first.headers["location"].partition("?")[0], user_agent=NEW_SDK)
    assert (joined_by_hand.status, joined_by_hand.headers["content-encoding"]) == (200, "gzip")
    gate.touch()
    service.quiet()


def test_a_python_sdk_too_old_to_reconnect_is_told_run_and_url(service: InLambda, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    first = service.wait(thread_id, gated(gate), user_agent=OLD_SDK)
    (run,) = service.runs(thread_id)
    assert first.status == 409
    assert run["run_id"] in first.json()["detail"]
    assert first.headers["location"] in first.json()["detail"]
    gate.touch()
    service.quiet()
    assert service.get(first.headers["location"], user_agent=OLD_SDK).status == 200


def test_the_time_before_the_handler_is_part_of_the_window(service: InLambda, gate: Path) -> None:
    body = gated(gate, input={"n": 1, "until": str(gate), "seconds": WINDOW_S / 2})
    gate.touch()
    assert service.call(wait_request(str(uuid.uuid4()), body)).status == 200
    assert service.call(wait_request(str(uuid.uuid4()), body), spent_s=GATEWAY_S).status == 303
    service.quiet()


def test_what_sam_local_says_of_the_time_before_the_handler_is_not_believed(
    service: InLambda, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SAM_LOCAL", "true")
    body = gated(gate, input={"n": 1, "until": str(gate), "seconds": WINDOW_S / 2})
    gate.touch()
    assert service.call(wait_request(str(uuid.uuid4()), body), spent_s=GATEWAY_S).status == 200


# ---------------------------------------------------------------------- preferences


def test_prefer_wait_shortens_the_window_and_says_so(service: InLambda, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    answer = service.wait(thread_id, gated(gate), prefer="wait=0")
    assert (answer.status, answer.headers["preference-applied"]) == (303, "wait=0")
    gate.touch()
    service.quiet()
    assert [run["status"] for run in service.runs(thread_id)] == ["success"]


def test_prefer_respond_async_answers_at_once_and_a_worker_drives(service: InLambda, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    answer = service.wait(thread_id, gated(gate), prefer="respond-async")
    assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async")
    assert answer.json()["status"] == "pending"
    assert not service.services.waiter.busy
    gate.touch()
    with worker_of(service):
        while (joined := service.get(answer.headers["location"])).status == 303:
            continue
    assert joined.json()["entries"] == ["e-0"]


class worker_of:  # noqa: N801 - a context manager
    """A worker over a service's queue, as long as the block lasts."""

    def __init__(self, service: InLambda) -> None:
        wakes: Any = service.services.wakes
        self.worker = LocalWorker(wakes, service.services.attendant, service.services.loop)

    def __enter__(self) -> None:
        self.worker.start()

    def __exit__(self, *_: object) -> None:
        self.worker.stop()


# ---------------------------------------------------------------------- idempotency keys


def test_a_retried_request_joins_its_run_running_or_ended(service: InLambda, gate: Path) -> None:
    thread_id, key = str(uuid.uuid4()), uuid.uuid4().hex
    first = service.wait(thread_id, gated(gate), idempotency_key=key)
    again = service.wait(thread_id, gated(gate), idempotency_key=key)
    assert (first.status, again.status) == (303, 303)
    assert first.headers["location"] == again.headers["location"]
    gate.touch()
    service.quiet()
    assert service.wait(thread_id, gated(gate), idempotency_key=key).json()["entries"] == ["e-0"]
    assert len(service.runs(thread_id)) == 1


def test_a_key_that_stands_for_another_body_is_refused(service: InLambda) -> None:
    thread_id, key = str(uuid.uuid4()), uuid.uuid4().hex
    assert service.wait(thread_id, lasting(0), idempotency_key=key).status == 200
    assert service.wait(thread_id, lasting(0.01), idempotency_key=key).status == 422
    assert len(service.runs(thread_id)) == 1


def test_two_requests_at_once_under_one_key_are_one_run(service: InLambda) -> None:
    for _ in range(5):
        thread_id, key = str(uuid.uuid4()), uuid.uuid4().hex
        request = wait_request(thread_id, lasting(0.1), idempotency_key=key)
        answers = [future.result(30) for future in [service.begin(request) for _ in range(4)]]
        assert [answer.status for answer in answers] == [200] * 4
        assert len({answer.headers["content-location"] for answer in answers}) == 1
        assert len(service.runs(thread_id)) == 1


def test_a_stateless_run_under_a_key_outlives_a_lost_response(service: InLambda) -> None:
    key = uuid.uuid4().hex
    body = {"assistant_id": "long", "input": {"seconds": 0.0}}
    lost = service.wait(None, body, idempotency_key=key)
    again = service.wait(None, body, idempotency_key=key)
    assert (lost.status, again.status) == (200, 200)
    assert again.json() == lost.json()
    assert again.headers["content-location"] == lost.headers["content-location"]
    other = service.wait(None, body | {"input": {"seconds": 0.01}}, idempotency_key=key)
    assert other.status == 422


# ---------------------------------------------------------------------- runs without a thread of the caller's


def test_a_thread_of_nobodys_lives_until_its_result_was_handed_out(service: InLambda, gate: Path) -> None:
    first = service.wait(None, gated(gate))
    assert first.status == 303
    run_path = first.headers["location"].partition("/prod")[2].partition("/join")[0]
    thread_path = run_path.partition("/runs")[0]
    gate.touch()
    service.quiet()
    assert service.get(thread_path).status == 200
    assert service.get(first.headers["location"]).json()["entries"] == ["e-0"]
    assert service.get(thread_path).status == 404


def test_a_result_is_answered_though_its_thread_cannot_be_deleted(
    service: InLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tenant: str, thread_id: str) -> None:
        raise StorageUnavailable("not now")

    monkeypatch.setattr(service.services.threads, "delete", fail)
    answer = service.wait(None, {"assistant_id": "long", "input": {"seconds": 0.0}})
    assert (answer.status, answer.json()["done"]) == (200, 1)


# ---------------------------------------------------------------------- the window's end


@pytest.mark.parametrize("early_s", [0.1, 0.05, 0.03, 0.01, 0.0, -0.02])
def test_a_result_in_the_last_moment_of_the_window_is_told_now_or_at_the_next_poll(
    service: InLambda, early_s: float
) -> None:
    thread_id = str(uuid.uuid4())
    answer = service.wait(thread_id, lasting(WINDOW_S - early_s))
    polls = 0
    while answer.status == 303:
        polls += 1
        answer = service.get(answer.headers["location"])
    assert (answer.status, answer.json()["done"]) == (200, 1)
    assert polls <= 1
    assert [run["status"] for run in service.runs(thread_id)] == ["success"]


def test_thirty_waiters_on_one_run_get_its_result(service: InLambda, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    first = service.wait(thread_id, gated(gate), prefer="wait=0")

    def join(_: int) -> tuple[int, Any]:
        answer = service.get(first.headers["location"])
        while answer.status == 303:
            gate.touch()
            answer = service.get(answer.headers["location"])
        return answer.status, answer.json()["entries"]

    with ThreadPoolExecutor(30) as waiters:
        assert list(waiters.map(join, range(30))) == [(200, ["e-0"])] * 30
    service.quiet()


def test_a_waiter_that_dies_harms_neither_run_nor_other_waiters(service: InLambda, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    first = service.wait(thread_id, gated(gate, on_disconnect="continue"), prefer="wait=0")
    (run,) = service.runs(thread_id)
    stored = service.services.runs.get("default", thread_id, run["run_id"])
    assert stored is not None

    async def die() -> None:
        watching = asyncio.create_task(service.services.waiter.follow(stored, None))
        await asyncio.sleep(0.1)
        watching.cancel()
        await asyncio.wait({watching})

    service.services.loop.submit(die()).result(10)
    gate.touch()
    answer = service.get(first.headers["location"])
    assert answer.json()["entries"] == ["e-0"]
    service.quiet()


def test_a_window_that_closes_before_the_drive_begins_abandons_no_run(service: InLambda) -> None:
    for _ in range(5):
        thread_id = str(uuid.uuid4())
        assert service.wait(thread_id, lasting(0.05), prefer="wait=0").status == 303
        service.quiet()
        assert [run["status"] for run in service.runs(thread_id)] == ["success"]


# ---------------------------------------------------------------------- where the sandbox freezes with the response


def test_without_the_extension_the_driver_drains_at_the_window_and_a_worker_finishes(engine: Engine) -> None:
    service = in_lambda(engine, held=False)
    thread_id = str(uuid.uuid4())
    first = service.wait(thread_id, lasting(3 * WINDOW_S, steps=12))
    assert first.status == 303
    service.quiet(1.0)
    with worker_of(service):
        while (answer := service.get(first.headers["location"])).status == 303:
            continue
    assert answer.json()["done"] == 12
    (run,) = service.runs(thread_id)
    stored = service.services.runs.get("default", thread_id, run["run_id"])
    assert stored is not None
    assert (run["status"], stored.handoffs) == ("success", 1)


def test_without_the_extension_a_node_longer_than_the_window_is_left_to_a_worker(engine: Engine) -> None:
    service = in_lambda(engine, held=False)
    thread_id = str(uuid.uuid4())
    first = service.wait(thread_id, lasting(2 * WINDOW_S))
    assert first.status == 303
    with worker_of(service):
        while (answer := service.get(first.headers["location"])).status == 303:
            continue
    assert answer.json() == {"steps": 1, "seconds": 2 * WINDOW_S, "done": 1}


def test_a_driver_near_the_end_of_its_functions_time_hands_the_run_on_once(engine: Engine) -> None:
    service = in_lambda(engine)
    thread_id = str(uuid.uuid4())
    request = wait_request(thread_id, lasting(4.0, steps=40))
    first = service.call(request, context=Context(remaining_s=2.0))
    assert first.status == 303
    service.quiet()
    with worker_of(service):
        while (answer := service.get(first.headers["location"])).status == 303:
            continue
    assert answer.json()["done"] == 40
    (run,) = service.runs(thread_id)
    stored = service.services.runs.get("default", thread_id, run["run_id"])
    assert stored is not None
    assert stored.handoffs == 1


# ---------------------------------------------------------------------- on_disconnect


@pytest.fixture(scope="module")
def impatient(engine: Engine) -> InLambda:
    """A service that takes a waiter for gone soon after its window."""
    return in_lambda(engine, presence_grace_seconds=0.3)


def test_a_run_whose_waiter_has_gone_is_cancelled_after_the_grace_period(impatient: InLambda, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    body = lasting(20, steps=200)
    assert impatient.wait(thread_id, body).status == 303
    impatient.quiet(10)
    assert [run["status"] for run in impatient.runs(thread_id)] == ["interrupted"]
    assert impatient.get(f"/threads/{thread_id}").json()["status"] == "interrupted"


def test_polls_keep_a_run_alive_and_so_does_a_retry_under_its_key(impatient: InLambda) -> None:
    thread_id, key = str(uuid.uuid4()), uuid.uuid4().hex
    body = lasting(4 * GATEWAY_S, steps=20)
    answer = impatient.wait(thread_id, body, idempotency_key=key)
    retried = 0
    while answer.status == 303:
        retried += 1
        answer = impatient.wait(thread_id, body, idempotency_key=key)
    assert (answer.json()["done"], retried >= 3) == (20, True)
    assert [run["status"] for run in impatient.runs(thread_id)] == ["success"]


def test_a_run_that_continues_needs_nobody(impatient: InLambda) -> None:
    thread_id = str(uuid.uuid4())
    body = lasting(3 * GATEWAY_S, steps=20, on_disconnect="continue")
    assert impatient.wait(thread_id, body, prefer="wait=0").status == 303
    impatient.quiet(10)
    assert [run["status"] for run in impatient.runs(thread_id)] == ["success"]


@pytest.fixture(scope="module")
def on_uvicorn(service: InLambda) -> Iterator[str]:
    """The same service on uvicorn."""
    with serving(create_app(service.services)) as url:
        yield url


@pytest.mark.parametrize(("asked", "status"), [("cancel", "interrupted"), ("continue", "success")])
def test_a_hang_up_is_seen_and_obeyed_where_there_is_no_gateway(
    service: InLambda, on_uvicorn: str, gate: Path, asked: str, status: str
) -> None:
    thread_id = str(uuid.uuid4())
    body = gated(gate, on_disconnect=asked)
    url = f"{on_uvicorn}/threads/{thread_id}/runs/wait"
    with httpx.Client(trust_env=False) as client, client.stream("POST", url, json=body) as answer:
        assert answer.status_code == 200
        assert answer.headers["location"].endswith("/join")
    if asked == "continue":
        gate.touch()
    assert service.ended(thread_id) == [status]


def test_a_joiner_that_hangs_up_is_no_longer_followed(service: InLambda, on_uvicorn: str, gate: Path) -> None:
    thread_id = str(uuid.uuid4())
    answer = service.wait(thread_id, gated(gate), prefer="respond-async")
    url = f"{on_uvicorn}{answer.headers['location']}"
    with httpx.Client(trust_env=False) as client, client.stream("GET", url) as joined:
        assert joined.status_code == 200
        while not service.services.waiter.busy:
            time.sleep(0.01)
    service.quiet()


# ---------------------------------------------------------------------- large results


def large(characters: int, letter: str) -> dict[str, Any]:
    """The body of a run whose result has an entry of so many characters, and hardly compresses or does."""
    return {"assistant_id": "log", "input": {"n": 1, "name": letter * characters}, "if_not_exists": "create"}


@pytest.fixture(scope="module")
def narrow(engine: Engine) -> InLambda:
    """A service whose answers may have 100,000 bytes."""
    return in_lambda(engine, max_result_bytes=100_000, gateway_timeout_seconds=20)


def test_a_result_too_large_for_lambda_is_refused_by_name_and_the_run_is_a_success(narrow: InLambda) -> None:
    thread_id = str(uuid.uuid4())
    answer = narrow.wait(thread_id, large(60_000, "x"))
    assert answer.status == 413
    assert f"GET /threads/{thread_id}/state" in answer.json()["detail"]
    assert [run["status"] for run in narrow.runs(thread_id)] == ["success"]
    assert len(narrow.get(f"/threads/{thread_id}/state").json()["values"]["entries"][0]) > 60_000


def test_a_large_result_is_compressed_for_a_client_that_takes_it(narrow: InLambda) -> None:
    answer = narrow.wait(str(uuid.uuid4()), large(60_000, "x"), accept_encoding="gzip")
    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
    assert len(json.loads(gzip.decompress(answer.body))["entries"][0]) > 60_000


def test_quotes_count_twice_since_lambda_carries_the_answer_in_json(narrow: InLambda) -> None:
    assert narrow.wait(str(uuid.uuid4()), large(40_000, "x")).status == 200
    assert narrow.wait(str(uuid.uuid4()), large(20_000, '"')).status == 413
