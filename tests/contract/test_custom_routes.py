"""`http` of langgraph.json: the user's own application around the API, parts left out, headers for graphs."""

import asyncio
import json
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from mangum import Mangum

from handler.api.app import create_app
from handler.api.custom import serve
from handler.api.services import Services
from handler.bootstrap import build_services, create_table
from handler.errors import GraphLoadError
from handler.runs.graphs import read_config
from handler.runs.project import HeaderPatterns
from tests.conftest import TenantFromHeader, new_settings, serving
from tests.contract.test_ownership import routes_of
from tests.engines import Engine

PROJECT = Path(__file__).parents[1] / "graphs" / "web"
ORIGIN = {"origin": "https://app.test"}


def services_of(engine: Engine, config: Path) -> Services:
    """A service over the engine that reads this langgraph.json."""
    settings = new_settings(langgraph_config=config, tenant_claim="")
    create_table(engine.dynamodb(), settings.table_name)
    return build_services(settings, dynamodb=engine.new_dynamodb())


@pytest.fixture(scope="module")
def web(engine: Engine) -> Iterator[httpx.Client]:
    """A client of a server with routes of the user's own."""
    with (
        serving(TenantFromHeader(serve(services_of(engine, PROJECT / "langgraph.json")))) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def test_the_users_routes_come_before_those_of_the_api(web: httpx.Client) -> None:
    assert web.get("/hello").json() == {"greeting": "hello", "yielded": "from the lifespan", "path": "/hello"}
    assert web.get("/info").json() == {"whose": "mine"}
    assert web.get("/threads/abc/summary").json() == {"summary": "abc"}
    assert web.get("/store/items").json() == ["mine"]


def test_the_api_answers_what_the_user_does_not(web: httpx.Client) -> None:
    assert web.get("/ok").json() == {"ok": True, "services": {}}
    assert web.put("/store/items", json={"namespace": ["a"], "key": "k", "value": {}}).status_code == 204
    created = web.post("/threads", json={})
    assert created.status_code == 200
    assert web.get(f"/threads/{created.json()['thread_id']}").status_code == 200
    assert (web.get("/nope").status_code, web.get("/nope").json()) == (404, {"detail": "Not Found"})
    assert web.post("/assistants", content=b"{").json() == {"detail": "Invalid JSON in request body"}


def test_the_users_middleware_is_around_both(web: httpx.Client) -> None:
    for path in ("/hello", "/ok", "/nope"):
        assert web.get(path).headers["x-served-by"] == "web"


def test_an_error_of_the_users_is_a_500(web: httpx.Client) -> None:
    assert web.get("/boom", headers={"connection": "close"}).status_code == 500


def test_other_origins_may_call_both(web: httpx.Client) -> None:
    for path in ("/hello", "/ok"):
        answer = web.get(path, headers=ORIGIN)
        assert answer.headers["access-control-allow-origin"] == "https://app.test"
        exposed = answer.headers["access-control-expose-headers"]
        assert {"x-served-by", "Location", "X-Pagination-Total"} <= set(exposed.split(", "))
        assert "access-control-allow-origin" not in web.get(path, headers={"origin": "https://evil.test"}).headers
    preflight = web.options("/threads", headers={**ORIGIN, "access-control-request-method": "POST"})
    assert preflight.status_code == 200


def test_graphs_see_the_headers_that_are_chosen(web: httpx.Client) -> None:
    thread_id = web.post("/threads", json={}).json()["thread_id"]
    headers = {"X-User-Plan": "pro", "x-user-secret": "s", "x-other": "o", "x-api-key": "k", "x-user-name": "header"}
    body = {
        "assistant_id": "custom",
        "input": {"text": "hi"},
        "config": {"configurable": {"x-user-name": "configured"}},
    }
    seen = web.post(f"/threads/{thread_id}/runs/wait", json=body, headers=headers).json()["seen_configurable"]
    assert seen["x-user-plan"] == "pro"
    assert seen["x-user-name"] == "configured"
    assert {"x-user-secret", "x-other", "x-api-key", "user-agent"} & set(seen) == set()


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "X-Service-Key", "x-tenant-id"])
def test_credentials_are_never_handed_to_graphs(name: str) -> None:
    assert HeaderPatterns(includes=("*",)).chosen([(name, "secret"), ("x-else", "1")]) == {"x-else": "1"}


def test_only_an_asterisk_stands_for_anything() -> None:
    patterns = HeaderPatterns(includes=("x-a.b", "y-*-z"))
    headers = {"x-a.b": "1", "x-acb": "2", "y-1-z": "3", "y-1": "4"}
    assert set(patterns.chosen(headers.items())) == {"x-a.b", "y-1-z"}


def lambda_event(path: str) -> dict[str, Any]:
    """What a REST API sends."""
    return {
        "resource": "/{proxy+}",
        "httpMethod": "GET",
        "headers": {},
        "multiValueHeaders": {},
        "body": None,
        "path": path,
        "requestContext": {"stage": "prod"},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "isBase64Encoded": False,
    }


def test_on_lambda_the_lifespan_begins_with_the_first_request_and_once(engine: Engine) -> None:
    app = serve(services_of(engine, PROJECT / "langgraph.json"))
    begun: list[str] = sys.modules["langgraph_json_web"].BEGUN
    before = len(begun)
    with ThreadPoolExecutor(1) as thread:  # a thread has an event loop of its own to set, as a sandbox has
        answers = thread.submit(requests_on_one_loop, app, 3).result()
    assert [answer["yielded"] for answer in answers] == ["from the lifespan"] * 3
    assert begun[before:] == ["begun"]


def requests_on_one_loop(app: Any, count: int) -> list[Any]:
    """What an application answers through Mangum, request after request."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # first: Mangum makes one where there is none, and leaves it open
    adapter = Mangum(app, lifespan="off")
    try:
        answers = [adapter(cast("Any", lambda_event("/hello")), cast("Any", None)) for _ in range(count)]
        return [json.loads(answer["body"]) for answer in answers]
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_a_lifespan_that_fails_fails_the_request_and_is_tried_again(engine: Engine, tmp_path: Path) -> None:
    app = serve(services_of(engine, project(tmp_path, FAILING, {"app": "./web.py:app"})))
    with serving(app) as url:
        answers = [httpx.get(f"{url}/ok", headers={"connection": "close"}, trust_env=False) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 500, 200]


FAILING = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
tries = []
@asynccontextmanager
async def lifespan(app):
    tries.append(1)
    if len(tries) < 3:
        raise OSError("not yet")
    yield
app = Starlette(lifespan=lifespan)
"""


def project(directory: Path, web: str, http: Any) -> Path:
    """A langgraph.json with this application and this `http`."""
    directory = directory / f"project{uuid.uuid4().hex[:8]}"
    directory.mkdir()
    (directory / "web.py").write_text(web)
    config = directory / "langgraph.json"
    config.write_text(json.dumps({"graphs": {"g": "./g.py:graph"}, "http": http}))
    return config


@pytest.mark.parametrize(
    ("part", "gone", "kept"),
    [
        ("assistants", [("POST", "/assistants/search"), ("GET", "/assistants/{assistant_id}")], ("POST", "/threads")),
        (
            "threads",
            [("POST", "/threads"), ("GET", "/threads/{thread_id}/state")],
            ("GET", "/threads/{thread_id}/runs"),
        ),
        ("runs", [("POST", "/runs/wait"), ("GET", "/threads/{thread_id}/runs")], ("POST", "/threads")),
        ("store", [("PUT", "/store/items"), ("POST", "/store/namespaces")], ("POST", "/threads")),
        ("meta", [("GET", "/info"), ("GET", "/docs"), ("GET", "/openapi.json")], ("GET", "/ok")),
    ],
)
def test_a_part_that_is_disabled_is_not_served(
    part: str, gone: list[tuple[str, str]], kept: tuple[str, str], engine: Engine, tmp_path: Path
) -> None:
    whole = routes_of(create_app(services_of(engine, project(tmp_path, "", {}))))
    left = routes_of(create_app(services_of(engine, project(tmp_path, "", {f"disable_{part}": True}))))
    assert set(gone) <= whole
    assert set(gone) & left == set()
    assert kept in left
    assert ("GET", "/ok") in left


@pytest.mark.parametrize(
    ("http", "named"),
    [
        ({"mount_prefix": "/x"}, "http.mount_prefix"),
        ({"logging_headers": {"includes": ["x"]}}, "http.logging_headers"),
        ({"nonsense": 1}, "http.nonsense"),
        ({"disable_store": "yes"}, "http.disable_store"),
        ({"app": "web.py"}, "http.app"),
        ({"middleware_order": "middleware_first"}, "http.middleware_order"),
        ({"cors": {"allow_origins": "x"}}, "http.cors.allow_origins"),
        ({"cors": {"nonsense": 1}}, "http.cors.nonsense"),
        ({"configurable_headers": {"includes": "x-*"}}, "http.configurable_headers.includes"),
        ([], "http"),
    ],
    ids=str,
)
def test_what_is_not_heeded_is_refused_by_name(http: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(GraphLoadError, match=f'"{named}"'):
        read_config(project(tmp_path, "", http))


@pytest.mark.parametrize(
    "http",
    [
        {"disable_mcp": True, "disable_a2a": True, "disable_ui": True, "disable_webhooks": False},
        {"enable_custom_route_auth": True, "middleware_order": "auth_first"},
        {"configurable_headers": None, "cors": None},
        None,
    ],
    ids=str,
)
def test_what_changes_nothing_is_taken(http: Any, tmp_path: Path) -> None:
    assert read_config(project(tmp_path, "", http)).http.app is None


@pytest.mark.parametrize(
    ("web", "message"),
    [
        ("", "http.app: ./web.py:app: the file has no attribute 'app'"),
        ("app = 1", "http.app: ./web.py:app is a int, not a Starlette or FastAPI application"),
        ("1 / 0", "http.app: ./web.py:app cannot be imported: ZeroDivisionError"),
    ],
)
def test_an_application_that_does_not_load_stops_the_start(
    web: str, message: str, engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(GraphLoadError, match=message):
        serve(services_of(engine, project(tmp_path, web, {"app": "./web.py:app"})))
