"""What happens later: runs that are put off, batches, webhooks."""

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from handler.api.app import create_app
from handler.bootstrap import build_services, create_queue, create_table
from handler.local_worker import LocalWorker
from handler.storage.queue import SqsWakes
from tests.conftest import Server, TenantFromHeader, new_settings, serving
from tests.contract.calls import UNKNOWN, Json, busy, read, state_of, until, wait
from tests.engines import Engine

SECRET = "a-secret"


def start(api: httpx.Client, thread_id: str, **fields: Any) -> Json:
    response = api.post(f"/threads/{thread_id}/runs", json={"assistant_id": "log", "input": {"n": 1}, **fields})
    assert response.status_code == 200, response.text
    run: Json = response.json()
    return run


def status_of(api: httpx.Client, run: Json) -> str:
    status: str = read(api, f"/threads/{run['thread_id']}/runs/{run['run_id']}")["status"]
    return status


def ended(api: httpx.Client, run: Json) -> str:
    """The status of a run when it has ended."""
    until(lambda: status_of(api, run) not in ("pending", "running"), "the run ends")
    return status_of(api, run)


# --- after_seconds ----------------------------------------------------------------------------------------------------


def test_a_run_that_is_put_off_waits_and_then_runs(api: httpx.Client, thread_id: str) -> None:
    run = start(api, thread_id, after_seconds=1.5)
    assert run["status"] == "pending"
    assert run["created_at"] > run["updated_at"]
    assert read(api, f"/threads/{thread_id}")["status"] == "busy"
    assert ended(api, run) == "success"
    run = read(api, f"/threads/{thread_id}/runs/{run['run_id']}")
    assert run["started_at"] >= run["created_at"]
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


@pytest.mark.parametrize("made", [True, False], ids=["thread is there", "thread is made"])
def test_a_thread_shows_the_graph_of_its_first_run_while_that_is_put_off(api: httpx.Client, made: bool) -> None:
    thread_id = str(uuid.uuid4())
    if made:
        api.post("/threads", json={"thread_id": thread_id, "metadata": {"a": 1}})
    run = start(api, thread_id, after_seconds=600, if_not_exists="create")
    shown = read(api, f"/threads/{thread_id}")["metadata"]
    named = {"graph_id": "log", "assistant_id": run["assistant_id"]}
    assert shown == ({"a": 1, **named} if made else shown | named)
    assert state_of(api, thread_id)["values"] in ({}, None)


def test_a_thread_shows_the_graph_of_its_last_run_while_one_of_another_is_put_off(
    api: httpx.Client, thread_id: str
) -> None:
    wait(api, thread_id, input={"n": 1})
    before = read(api, f"/threads/{thread_id}")["metadata"]
    start(api, thread_id, assistant_id="long", input={"steps": 1, "seconds": 0.0}, after_seconds=600)
    assert read(api, f"/threads/{thread_id}")["metadata"] == before
    assert before["graph_id"] == "log"


def test_a_wait_for_a_run_that_is_put_off_gets_its_result(api: httpx.Client, thread_id: str) -> None:
    assert wait(api, thread_id, input={"n": 1, "name": "late"}, after_seconds=1)["entries"] == ["late-0"]


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_time_that_has_come_puts_nothing_off(seconds: int, api: httpx.Client, thread_id: str) -> None:
    assert ended(api, start(api, thread_id, after_seconds=seconds)) == "success"


def test_others_run_before_the_time_of_one_that_is_put_off(api: httpx.Client, thread_id: str) -> None:
    late = start(api, thread_id, input={"n": 1, "name": "late"}, after_seconds=2)
    assert wait(api, thread_id, input={"n": 1, "name": "soon"})["entries"] == ["soon-0"]
    assert ended(api, start(api, thread_id, input={"n": 1, "name": "next"})) == "success"
    assert status_of(api, late) == "pending"
    assert read(api, f"/threads/{thread_id}")["status"] == "busy"
    assert ended(api, late) == "success"
    assert state_of(api, thread_id)["values"]["entries"] == ["soon-0", "next-0", "late-0"]


def test_a_run_whose_time_comes_on_a_busy_thread_waits_its_turn(api: httpx.Client, thread_id: str) -> None:
    late = start(api, thread_id, input={"n": 1, "name": "late"}, after_seconds=1)
    with busy(api, thread_id, entries=6):
        pass
    assert ended(api, late) == "success"
    assert state_of(api, thread_id)["values"]["entries"] == [*(f"old-{index}" for index in range(6)), "late-0"]


def test_reject_counts_a_run_that_is_to_come(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, after_seconds=600)
    body = {"assistant_id": "log", "input": {"n": 1}, "multitask_strategy": "reject"}
    for path in ("runs", "runs/wait"):
        assert api.post(f"/threads/{thread_id}/{path}", json=body).status_code == 409


@pytest.mark.parametrize(("strategy", "left"), [("interrupt", "interrupted"), ("rollback", None)])
@pytest.mark.parametrize("later", [None, 0.5], ids=["at once", "later itself"])
def test_interrupt_and_rollback_stop_a_run_that_is_to_come(
    strategy: str, left: str | None, later: float | None, api: httpx.Client, thread_id: str
) -> None:
    old = start(api, thread_id, after_seconds=600)
    new = start(api, thread_id, multitask_strategy=strategy, after_seconds=later)
    found = api.get(f"/threads/{thread_id}/runs/{old['run_id']}")
    assert (found.json()["status"] if left else found.status_code) == (left or 404)
    assert ended(api, new) == "success"
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"


@pytest.mark.parametrize("action", ["interrupt", "rollback", "delete"])
def test_a_run_that_is_to_come_can_be_stopped(action: str, api: httpx.Client, thread_id: str) -> None:
    run = start(api, thread_id, after_seconds=600)
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    if action == "delete":
        assert api.delete(path).status_code == 204
    else:
        assert api.post(f"{path}/cancel", params={"action": action}).status_code == 202
    left = api.get(path)
    assert (left.json()["status"] if action == "interrupt" else left.status_code) in ("interrupted", 404)
    assert read(api, f"/threads/{thread_id}")["status"] == "idle"
    assert wait(api, thread_id, input={"n": 1})["entries"] == ["e-0"]


@pytest.mark.parametrize("status", ["pending", "all"])
def test_runs_that_are_to_come_are_pending_ones(status: str, api: httpx.Client, thread_id: str) -> None:
    run = start(api, thread_id, after_seconds=600)
    assert api.post("/runs/cancel", json={"thread_id": thread_id, "status": "running"}).status_code == 404
    assert api.post("/runs/cancel", json={"thread_id": thread_id, "status": status}).status_code == 204
    assert status_of(api, run) == "interrupted"


def test_the_runs_of_a_status_can_be_stopped_wherever_they_are(
    api: httpx.Client, server: Server, thread_id: str
) -> None:
    with server.client("stops-everything") as client:
        assert client.post("/runs/cancel", json={"status": "all"}).status_code == 404
        threads = [client.post("/threads", json={}).json()["thread_id"] for _ in range(3)]
        late = [start(client, each, after_seconds=600) for each in threads]
        running = start(client, threads[0], input={"n": 50, "seconds": 0.2})
        foreign = start(api, thread_id, after_seconds=600)
        until(lambda: status_of(client, running) == "running", "the run starts")
        until(lambda: client.post("/runs/cancel", json={"status": "pending"}).status_code == 204, "the index follows")
        assert [status_of(client, run) for run in late] == ["interrupted"] * 3
        assert status_of(client, running) == "running"
        assert client.post("/runs/cancel", json={"status": "all"}).status_code == 204
        assert status_of(client, running) == "interrupted"
        assert status_of(api, foreign) == "pending"


def test_a_cancel_that_would_look_at_too_many_threads_is_refused_and_stops_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.services.cancellation, "looks_at_most", 2)
    with server.client("too-many-threads") as client:
        threads = [client.post("/threads", json={}).json()["thread_id"] for _ in range(3)]
        late = [start(client, each, after_seconds=600) for each in threads]
        until(lambda: client.post("/threads/count", json={}).json() == 3, "the index follows")
        refused = client.post("/runs/cancel", json={"status": "all"})
        assert (refused.status_code, "more than 2 threads" in refused.json()["detail"]) == (501, True)
        assert [status_of(client, run) for run in late] == ["pending"] * 3


def test_runs_are_named_within_a_thread(api: httpx.Client) -> None:
    assert api.post("/runs/cancel", json={"run_ids": [UNKNOWN]}).status_code == 422
    assert api.post("/runs/cancel", json={}).status_code == 422


def test_a_thread_with_runs_to_come_can_be_deleted(api: httpx.Client, thread_id: str) -> None:
    start(api, thread_id, after_seconds=600)
    assert api.delete(f"/threads/{thread_id}").status_code == 204
    assert api.get(f"/threads/{thread_id}").status_code == 404


def test_only_so_many_runs_are_to_come_on_one_thread(api: httpx.Client, thread_id: str) -> None:
    body = {"assistant_id": "log", "after_seconds": 600}
    answers = [api.post(f"/threads/{thread_id}/runs", json=body).status_code for _ in range(31)]
    assert answers == [200] * 30 + [409]


def test_a_run_without_a_thread_can_be_put_off(api: httpx.Client) -> None:
    body = {"assistant_id": "log", "input": {"n": 1}, "after_seconds": 1, "on_completion": "keep"}
    run = api.post("/runs", json=body).json()
    assert (run["status"], read(api, f"/threads/{run['thread_id']}")["status"]) == ("pending", "busy")
    assert ended(api, run) == "success"


# --- webhooks ---------------------------------------------------------------------------------------------------------


class Receiver:
    """An HTTP server that keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str], Json, bytes]] = []
        self.statuses: dict[str, int] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append((self.path, headers, json.loads(body), body))
                self.send_response(receiver.statuses.get(self.path, 200))
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    @contextmanager
    def running(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield self
        self.http.shutdown()
        self.http.server_close()
        thread.join(5)

    def at(self, path: str) -> list[Json]:
        return [told for where, _headers, told, _body in self.received if where == path]

    def told(self, path: str) -> Json:
        """What came first at a path, once it has."""
        until(lambda: bool(self.at(path)), f"a call of {path}")
        return self.at(path)[0]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def hooked(engine: Engine) -> Iterator[httpx.Client]:
    """A client of a server that may call this machine, and signs what it tells."""
    settings = new_settings(
        queue_url=create_queue(engine.sqs(), f"hooks-{time.time_ns()}"),
        webhook_allowed_hosts="127.0.0.1",
        webhook_secret=SECRET,
    )
    create_table(engine.dynamodb(), settings.table_name)
    wakes = SqsWakes(engine.sqs(), settings.queue_url)
    services = build_services(settings, dynamodb=engine.new_dynamodb(), wakes=wakes)
    worker = LocalWorker(wakes, services.attendant, services.loop)
    worker.start()
    with serving(TenantFromHeader(create_app(services))) as url, Server(url, services).client("acme") as client:
        yield client
    worker.stop()


@pytest.fixture
def hooked_thread(hooked: httpx.Client) -> str:
    created: str = hooked.post("/threads", json={}).json()["thread_id"]
    return created


def test_a_webhook_is_told_of_a_runs_end(hooked: httpx.Client, hooked_thread: str, receiver: Receiver) -> None:
    run = start(hooked, hooked_thread, input={"n": 1, "name": "x"}, metadata={"m": 1}, webhook=f"{receiver.url}/ok?a=b")
    told = receiver.told("/ok?a=b")
    assert {name: told[name] for name in ("run_id", "thread_id", "status", "multitask_strategy")} == {
        "run_id": run["run_id"],
        "thread_id": hooked_thread,
        "status": "success",
        "multitask_strategy": "enqueue",
    }
    assert (told["values"]["entries"], told["metadata"]["m"]) == (["x-0"], 1)
    assert told["run_started_at"] <= told["run_ended_at"] <= told["webhook_sent_at"]
    assert "error" not in told
    assert told["kwargs"]["input"] == {"n": 1, "name": "x"}


def test_a_webhook_is_signed(hooked: httpx.Client, hooked_thread: str, receiver: Receiver) -> None:
    run = start(hooked, hooked_thread, webhook=f"{receiver.url}/signed")
    receiver.told("/signed")
    ((headers, body),) = [(headers, body) for path, headers, _, body in receiver.received if path == "/signed"]
    assert headers["webhook-id"] == run["run_id"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_webhook_is_told_why_a_run_failed(hooked: httpx.Client, hooked_thread: str, receiver: Receiver) -> None:
    body = {
        "assistant_id": "log",
        "input": {"n": 1},
        "config": {"recursion_limit": 0},
        "webhook": f"{receiver.url}/failed",
    }
    hooked.post(f"/threads/{hooked_thread}/runs/wait", json=body)
    told = receiver.told("/failed")
    assert (told["status"], told["error"]["error"]) == ("error", "ValueError")


def test_a_webhook_is_told_of_a_question_without_it_among_the_values(
    hooked: httpx.Client, hooked_thread: str, receiver: Receiver
) -> None:
    wait(hooked, hooked_thread, input={"n": 1, "name": "q", "ask": "sure?"}, webhook=f"{receiver.url}/asked")
    told = receiver.told("/asked")
    assert told["status"] == "success"
    assert "__interrupt__" not in told["values"]
    assert told["values"]["entries"] == ["q-0"]


def test_a_webhook_of_a_run_without_a_thread_has_its_values(hooked: httpx.Client, receiver: Receiver) -> None:
    body = {"assistant_id": "log", "input": {"n": 1, "name": "s"}, "webhook": f"{receiver.url}/stateless"}
    assert hooked.post("/runs/wait", json=body).json()["entries"] == ["s-0"]
    assert receiver.told("/stateless")["values"]["entries"] == ["s-0"]


def test_a_webhook_is_told_of_a_run_that_was_stopped(
    hooked: httpx.Client, hooked_thread: str, receiver: Receiver
) -> None:
    run = start(hooked, hooked_thread, input={"n": 20, "seconds": 0.3}, webhook=f"{receiver.url}/stopped")
    until(lambda: status_of(hooked, run) == "running", "the run starts")
    assert hooked.post(f"/threads/{hooked_thread}/runs/{run['run_id']}/cancel").status_code == 202
    assert receiver.told("/stopped")["status"] == "interrupted"


def test_a_webhook_is_told_of_a_run_that_was_stopped_before_its_time(
    hooked: httpx.Client, hooked_thread: str, receiver: Receiver
) -> None:
    run = start(hooked, hooked_thread, after_seconds=600, webhook=f"{receiver.url}/never")
    assert hooked.post(f"/threads/{hooked_thread}/runs/{run['run_id']}/cancel").status_code == 202
    told = receiver.told("/never")
    assert (told["status"], told["values"], told["run_started_at"]) == ("interrupted", None, None)


@pytest.mark.parametrize("status", [302, 500])
def test_a_webhook_that_does_not_take_the_news_delays_nobody_and_is_not_followed(
    status: int, hooked: httpx.Client, hooked_thread: str, receiver: Receiver
) -> None:
    path = f"/refuses-{status}"
    receiver.statuses[path] = status
    run = start(hooked, hooked_thread, webhook=f"{receiver.url}{path}")
    receiver.told(path)
    assert ended(hooked, run) == "success"
    assert wait(hooked, hooked_thread, input={"n": 1})["entries"] == ["e-0", "e-0"]
    assert receiver.at("/elsewhere") == []


def test_a_cron_tells_its_webhook(hooked: httpx.Client, hooked_thread: str, receiver: Receiver) -> None:
    body = {"assistant_id": "log", "schedule": "* * * * * *", "input": {"n": 1}, "webhook": f"{receiver.url}/cron"}
    cron = hooked.post(f"/threads/{hooked_thread}/runs/crons", json=body).json()
    told = receiver.told("/cron")
    assert hooked.delete(f"/runs/crons/{cron['cron_id']}").status_code == 204
    assert told["kwargs"]["config"]["configurable"]["cron_id"] == cron["cron_id"]


def test_ten_runs_tell_ten_webhooks(hooked: httpx.Client, receiver: Receiver) -> None:
    bodies = [{"assistant_id": "log", "input": {"n": 1}, "webhook": f"{receiver.url}/many"}] * 10
    runs = hooked.post("/runs/batch", json=bodies).json()
    until(lambda: len({told["run_id"] for told in receiver.at("/many")}) == 10, "ten calls")
    assert {told["run_id"] for told in receiver.at("/many")} == {run["run_id"] for run in runs}


# --- batch ------------------------------------------------------------------------------------------------------------


def test_each_run_of_a_batch_has_a_thread_of_its_own(api: httpx.Client) -> None:
    one: Json = {"assistant_id": "log", "input": {"n": 1, "name": "a"}, "on_completion": "keep"}
    answer = api.post("/runs/batch", json=[one, {**one, "input": {"n": 2, "name": "b"}, "metadata": {"m": 1}}])
    assert answer.status_code == 200, answer.text
    runs = answer.json()
    assert len({run["thread_id"] for run in runs}) == 2
    assert runs[1]["metadata"]["m"] == 1
    assert [ended(api, run) for run in runs] == ["success", "success"]
    logged = [state_of(api, run["thread_id"])["values"]["entries"] for run in runs]
    assert logged == [["a-0"], ["b-0", "b-1"]]


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        ({}, 422),
        (5, 422),
        ({"assistant_id": "nope"}, 422),
        ({"assistant_id": UNKNOWN}, 404),
        ({"assistant_id": "log", "webhook": "http://localhost/"}, 422),
        ({"assistant_id": "log", "command": {"resume": 1}}, 400),
        ({"assistant_id": "log", "context": {"a": 1}, "config": {"configurable": {"b": 1}}}, 400),
    ],
    ids=str,
)
def test_a_batch_with_one_bad_run_starts_none(bad: Any, status: int, hooked: httpx.Client, receiver: Receiver) -> None:
    good = {"assistant_id": "log", "input": {"n": 1}, "webhook": f"{receiver.url}/none"}
    assert hooked.post("/runs/batch", json=[good, bad]).status_code == status
    # Had it been accepted, it would have run before this one.
    start(hooked, hooked.post("/threads", json={}).json()["thread_id"], webhook=f"{receiver.url}/after-{status}")
    receiver.told(f"/after-{status}")
    assert receiver.at("/none") == []


@pytest.mark.parametrize(
    "body", [[], {}, "x", None, [{"assistant_id": "log"}] * 101], ids=["[]", "{}", "x", "null", "101"]
)
def test_a_batch_is_a_list_of_runs(body: Any, api: httpx.Client) -> None:
    assert api.post("/runs/batch", json=body).status_code == 422


def test_a_batch_that_is_sent_again_under_its_key_is_the_same(api: httpx.Client, thread_id: str) -> None:
    one = {"assistant_id": "log", "input": {"n": 1}, "on_completion": "keep"}
    headers = {"idempotency-key": thread_id}
    first, second = (api.post("/runs/batch", json=[one, one], headers=headers).json() for _ in range(2))
    assert [run["run_id"] for run in first] == [run["run_id"] for run in second]
    assert len({run["run_id"] for run in first}) == 2
