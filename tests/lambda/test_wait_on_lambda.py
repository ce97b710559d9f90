"""A wait through API Gateway's events, on the built artefact, cold and warm, with DynamoDB over HTTP."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.engines import Engine
from tests.events import Request, Response, http_event, read_response, rest_event
from tests.rie import Sandbox, sandbox


class Gateway(Protocol):
    """Turns a request into an event."""

    def __call__(self, request: Request, *, authorizer: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The event, with what an authoriser said of the caller."""


GATEWAYS = [pytest.param(rest_event, id="rest-v1"), pytest.param(http_event, id="http-v2")]
WARM_CALLS = 10


@pytest.fixture
def environment(engine: Engine) -> dict[str, str]:
    """A sandbox's environment: the engine, a table of its own, and the artefact's project."""
    table = engine.create_table(f"lambda-{uuid.uuid4().hex[:12]}")
    return {**engine.environment, "TABLE_NAME": table, "LANGGRAPH_CONFIG": "project/langgraph.json"}


@pytest.fixture
def first(artefact: Path, environment: dict[str, str]) -> Iterator[Sandbox]:
    """A cold sandbox."""
    with sandbox(artefact, environment) as started:
        yield started


@pytest.fixture
def second(artefact: Path, environment: dict[str, str]) -> Iterator[Sandbox]:
    """Another cold sandbox over the same table."""
    with sandbox(artefact, environment) as started:
        yield started


def call(to: Sandbox, gateway: Gateway, request: Request) -> Response:
    """Send a request through a gateway."""
    return read_response(to.invoke(gateway(request)).payload)


def wait(thread_id: str, text: str) -> Request:
    """Say something to the example agent and wait for what it says."""
    body = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": text}]}}
    return Request("POST", f"/threads/{thread_id}/runs/wait", body=body | {"if_not_exists": "create"})


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_wait_answers_with_the_values_and_the_runs_address(first: Sandbox, gateway: Gateway) -> None:
    thread_id = str(uuid.uuid4())
    answer = call(first, gateway, wait(thread_id, "What is the weather in Oslo?"))
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert [message["type"] for message in answer.json()["messages"]] == ["human", "ai", "tool", "ai"]
    assert answer.json()["messages"][-1]["content"] == "The weather is sunny, 12 °C."
    (run,) = call(first, gateway, Request("GET", f"/threads/{thread_id}/runs")).json()
    assert run["status"] == "success"
    assert answer.headers["location"].endswith(f"/threads/{thread_id}/runs/{run['run_id']}/join")
    assert answer.headers["content-location"].endswith(f"/threads/{thread_id}/runs/{run['run_id']}")
    joined = call(first, gateway, Request("GET", f"/threads/{thread_id}/runs/{run['run_id']}/join"))
    assert (joined.status, joined.json()) == (200, answer.json())


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_another_sandbox_continues_the_thread(first: Sandbox, second: Sandbox, gateway: Gateway) -> None:
    thread_id = str(uuid.uuid4())
    said = call(first, gateway, wait(thread_id, "one")).json()["messages"]
    first.kill()
    answer = call(second, gateway, wait(thread_id, "two"))
    assert answer.status == 200, answer.body
    messages = answer.json()["messages"]
    assert messages[: len(said)] == said
    assert [message["content"] for message in messages] == [
        "one",
        "You said: one (turn 1)",
        "two",
        "You said: two (turn 2)",
    ]
    state = call(second, gateway, Request("GET", f"/threads/{thread_id}/state")).json()
    assert state["values"]["messages"] == messages


def test_the_two_gateways_reach_one_service(first: Sandbox) -> None:
    thread_id = str(uuid.uuid4())
    call(first, rest_event, wait(thread_id, "one"))
    assert len(call(first, http_event, wait(thread_id, "two")).json()["messages"]) == 4


def test_a_base64_body_is_the_body(first: Sandbox) -> None:
    request = wait(str(uuid.uuid4()), "hello — 你好")
    plain = rest_event(request)["body"]
    headers = {"content-type": "application/json"}
    answer = call(first, rest_event, Request("POST", request.path, headers=headers, body=plain.encode()))
    assert answer.json()["messages"][0]["content"] == "hello — 你好"


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_errors_are_answers_and_not_the_runtimes_text(first: Sandbox, gateway: Gateway) -> None:
    missing = call(first, gateway, Request("GET", f"/threads/{uuid.uuid4()}"))
    assert (missing.status, list(missing.json())) == (404, ["detail"])
    broken = call(first, gateway, Request("POST", "/threads", headers={"content-type": "application/json"}, body="{"))
    assert 400 <= broken.status < 500
    assert list(broken.json()) == ["detail"]
    assert call(first, gateway, Request("GET", "/ok")).json()["ok"] is True


def test_the_authorisers_tenant_separates_what_callers_see(artefact: Path, environment: dict[str, str]) -> None:
    thread_id = str(uuid.uuid4())
    with sandbox(artefact, {**environment, "TENANT_CLAIM": "tenant"}) as started:

        def status(gateway: Gateway, tenant: str, request: Request) -> int:
            return read_response(started.invoke(gateway(request, authorizer={"tenant": tenant})).payload).status

        assert status(rest_event, "acme", wait(thread_id, "one")) == 200
        look = Request("GET", f"/threads/{thread_id}")
        assert [status(rest_event, tenant, look) for tenant in ("acme", "globex")] == [200, 404]
        assert [status(http_event, tenant, look) for tenant in ("acme", "globex")] == [200, 404]
        assert read_response(started.invoke(rest_event(look)).payload).status == 403


def test_a_sandbox_that_was_cold_is_warm_afterwards(first: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints figures; asserts that nothing is initialised twice."""

    def seconds(request: Request) -> float:
        invocation = first.invoke(rest_event(request))
        assert read_response(invocation.payload).status == 200
        return invocation.seconds

    cold = seconds(wait(str(uuid.uuid4()), "cold"))
    warm = sorted(seconds(wait(str(uuid.uuid4()), "warm")) for _ in range(WARM_CALLS))
    ok = sorted(seconds(Request("GET", "/ok")) for _ in range(WARM_CALLS))
    with capsys.disabled():
        print(
            f"\non Lambda's emulator: init {1000 * first.init_seconds:.0f} ms, "
            f"first wait {1000 * (cold - first.init_seconds):.0f} ms more; medians: "
            f"warm wait {1000 * warm[WARM_CALLS // 2]:.1f} ms, warm GET /ok {1000 * ok[WARM_CALLS // 2]:.1f} ms"
        )
    assert first.log.read_text().count("INIT START") == 1


def test_the_artefact_leaves_out_what_lambda_brings_and_carries_its_bytecode(artefact: Path) -> None:
    names = {path.name for path in artefact.iterdir()}
    assert {"handler", "project", "langgraph", "fastapi", "mangum"} <= names
    assert not names & {"boto3", "botocore", "s3transfer", "moto", "ministack", "pytest"}
    sources = list((artefact / "handler").rglob("*.py"))
    compiled = list((artefact / "handler").rglob("*.pyc"))
    assert len(sources) == len(compiled) > 1
    # PEP 552: flags 0b01 say hash-based and unchecked, so that no import looks at the source.
    assert {path.read_bytes()[4:8] for path in compiled} == {(1).to_bytes(4, "little")}
