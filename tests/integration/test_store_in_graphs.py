"""The store that the API serves is the one that graphs get: in sync and async nodes, in subgraphs, with its index."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from handler.api.app import create_app
from handler.bootstrap import build_services, create_table
from handler.errors import GraphLoadError
from handler.runs.graphs import Graphs, read_config
from handler.runs.loop import GraphLoop
from handler.runs.project import IndexConfig
from handler.runs.semantics import SemanticIndex
from tests.conftest import TENANT_HEADER, TenantFromHeader, new_settings, serving
from tests.contract.calls import Json, wait
from tests.engines import Engine
from tests.integration.test_item_store import in_a_thread

PROJECT = Path(__file__).parents[1] / "graphs" / "memory"


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    """A server whose langgraph.json configures the store."""
    settings = new_settings(langgraph_config=PROJECT / "langgraph.json")
    create_table(engine.dynamodb(), settings.table_name)
    services = build_services(settings, dynamodb=engine.new_dynamodb())
    with serving(TenantFromHeader(create_app(services))) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Callable[[str], httpx.Client]]:
    """Clients by tenant; each test has tenants of its own."""
    mark = uuid.uuid4().hex
    opened: list[httpx.Client] = []

    def open_for(tenant: str) -> httpx.Client:
        headers = {TENANT_HEADER.decode(): f"{tenant}-{mark}"}
        opened.append(httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False))
        return opened[-1]

    yield open_for
    for one in opened:
        one.close()


def remember(api: httpx.Client, note: str, user: str = "ann") -> Json:
    """What a run of the graph answers."""
    thread_id = api.post("/threads", json={}).json()["thread_id"]
    return wait(api, thread_id, "memory", input={"user": user, "note": note})


def search(api: httpx.Client, **fields: object) -> list[Json]:
    """What the API finds."""
    response = api.post("/store/items/search", json={"namespace_prefix": ["notes"], **fields})
    assert response.status_code == 200, response.text
    found: list[Json] = response.json()["items"]
    return found


def test_what_a_graph_keeps_is_found_by_later_runs_and_by_the_api(client: Callable[[str], httpx.Client]) -> None:
    api = client("acme")
    assert remember(api, "the dog ran")["found"] == ["the dog ran"]
    second = remember(api, "a cat, a dog")
    assert second["found"] == ["the dog ran", "a cat, a dog"]
    assert second["from_subgraph"] == ["n0", "n1"]
    assert second["nearest"] == [["a cat, a dog", 0.707]]
    assert [item["value"]["text"] for item in search(api)] == ["the dog ran", "a cat, a dog"]
    scored = search(api, query="dog", limit=1)
    assert [(item["key"], item["score"]) for item in scored] == [("n0", 1.0)]


def test_what_the_api_puts_is_found_by_graphs(client: Callable[[str], httpx.Client]) -> None:
    api = client("acme")
    body = {"namespace": ["notes", "ann"], "key": "k", "value": {"text": "cat cat"}}
    assert api.put("/store/items", json=body).status_code == 204
    unindexed = {"namespace": ["notes", "ann"], "key": "x", "value": {"text": "cat"}, "index": False}
    assert api.put("/store/items", json=unindexed).status_code == 204
    other_field = {
        "namespace": ["notes", "bob"],
        "key": "f",
        "value": {"text": "sea", "more": "cat"},
        "index": ["more"],
    }
    assert api.put("/store/items", json=other_field).status_code == 204
    assert remember(api, "sea")["found"] == ["cat cat", "sea", "cat"]
    assert [(item["key"], item["score"]) for item in search(api, query="cat")] == [
        ("k", 1.0),
        ("f", 1.0),
        ("n2", 0.0),
        ("x", None),
    ]


def test_a_graph_sees_only_its_tenants_items(client: Callable[[str], httpx.Client]) -> None:
    acme, globex = client("acme"), client("globex")
    remember(acme, "cat")
    theirs = remember(globex, "dog")
    assert theirs["found"] == ["dog"]
    assert theirs["nearest"] == [["dog", 0.0]]
    assert [item["value"]["text"] for item in search(acme, query="dog")] == ["cat"]


def test_items_live_as_long_as_is_configured_where_nothing_is_said(
    client: Callable[[str], httpx.Client], url: str, engine: Engine
) -> None:
    api = client("acme")
    remember(api, "cat")
    api.put("/store/items", json={"namespace": ["notes", "z"], "key": "forever", "value": {}, "ttl": None})
    client_ = engine.dynamodb()
    tables = [name for name in client_.list_tables()["TableNames"] if name.startswith("t-")]
    held = [
        item
        for name in tables
        for item in client_.scan(TableName=name)["Items"]
        if item["PK"]["S"].startswith(f"S#{api.headers[TENANT_HEADER.decode()]}#")
    ]
    assert sorted(("expires_at" in item, item.get("ttl_minutes", {}).get("S")) for item in held) == [
        (False, None),
        (True, "60.0"),
    ]


def written(directory: Path, embedding: str, **index: object) -> SemanticIndex:
    """An index whose function is this."""
    (directory / "own_embedding.py").write_text(embedding)
    section = {"embed": "./own_embedding.py:embed", "dims": 2, **index}
    content = {"graphs": {"g": "./g.py:graph"}, "store": {"index": section}}
    (directory / "langgraph.json").write_text(json.dumps(content))
    graphs = Graphs(read_config(directory / "langgraph.json"))
    assert isinstance(graphs.config.store.index, IndexConfig)
    return SemanticIndex(graphs.config.store.index, graphs, GraphLoop())


def test_the_texts_of_the_fields_are_embedded(tmp_path: Path) -> None:
    index = written(
        tmp_path,
        "def embed(texts):\n    return [[float(len(text)), 0.0] for text in texts]\n",
        fields=["title", "parts[*].text"],
    )
    value = {"title": "abc", "parts": [{"text": "d"}, {"text": "ef"}], "other": "x"}
    assert index.vectors(value, None) == [[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    assert index.vectors(value, ["other"]) == [[1.0, 0.0]]
    assert index.vectors(value, False) == []
    assert index.vectors({"none": "of them"}, None) == []
    assert index.meaning("four") == [4.0, 0.0]


def test_an_embedding_of_another_length_is_an_error_that_says_so(tmp_path: Path) -> None:
    index = written(tmp_path, "def embed(texts):\n    return [[1.0] for _ in texts]\n")
    with pytest.raises(ValueError, match="expected 2 numbers each"):
        index.meaning("x")


def test_an_embedding_that_is_not_there_names_its_place(tmp_path: Path) -> None:
    index = written(tmp_path, "")
    with pytest.raises(GraphLoadError, match=r"store.index.embed: ./own_embedding.py:embed: the file has no attribute"):
        index.meaning("x")


def test_a_providers_model_needs_langchain(tmp_path: Path) -> None:
    index = written(tmp_path, "", embed="openai:text-embedding-3-small")
    with pytest.raises(GraphLoadError, match=r"store\.index\.embed: openai:text-embedding-3-small"):
        index.meaning("x")


def test_an_async_embedding_is_not_waited_for_where_that_would_block_forever(tmp_path: Path) -> None:
    index = written(tmp_path, "async def embed(texts):\n    return [[1.0, 2.0] for _ in texts]\n")

    async def search() -> None:
        with pytest.raises(ValueError, match="async methods"):
            index.meaning("x")

    in_a_thread(search())
    assert index.meaning("x") == [1.0, 2.0]


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"path": "./store.py:store"}, "store.path"),
        ({"index": {"dims": 3}}, "store.index.embed"),
        ({"index": {"embed": "./e.py:embed"}}, "store.index.dims"),
        ({"index": {"embed": "./e.py:embed", "dims": 3, "fields": "text"}}, "store.index.fields"),
        ({"index": {"embed": "./e.py:embed", "dims": 3, "distance": "l2"}}, "store.index.distance"),
        ({"ttl": {"default_ttl": "x"}}, "store.ttl.default_ttl"),
        ({"ttl": 5}, "store.ttl"),
        ([], "store"),
    ],
    ids=str,
)
def test_what_is_not_heeded_of_the_store_is_refused_by_name(section: object, named: str, tmp_path: Path) -> None:
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": {"g": "./g.py:graph"}, "store": section}))
    with pytest.raises(GraphLoadError, match=f'"{named}"'):
        read_config(tmp_path / "langgraph.json")
