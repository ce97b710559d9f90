"""A cold start imports what it needs: langgraph only when a graph is about to run. Its times: make bench-cold."""

import uuid
from pathlib import Path

import pytest

from tests.bench.cold import NEVER_BEFORE_A_GRAPH, Cold, loaded_modules
from tests.engines import Engine
from tests.rie import link_runtime


@pytest.fixture
def cold(artefact: Path, engine: Engine, tmp_path: Path) -> Cold:
    """Interpreters of the artefact, over a table."""
    link_runtime(tmp_path / "runtime")
    table = {
        "TABLE_NAME": engine.create_table(f"cold-{uuid.uuid4().hex[:8]}"),
        "LANGGRAPH_CONFIG": "project/langgraph.json",
    }
    return Cold(artefact, tmp_path / "runtime", {**engine.environment, **table})


def test_nothing_of_langgraph_is_imported_before_a_graph_is_needed(cold: Cold) -> None:
    entry, wait = loaded_modules(cold)
    assert {"handler.main", "fastapi", "mangum", "boto3"} <= set(entry)
    assert [name for name in entry if name.split(".")[0] in NEVER_BEFORE_A_GRAPH] == []
    assert {name for name in NEVER_BEFORE_A_GRAPH if name in wait} >= {"langgraph", "langchain_core"}


def test_reading_a_thread_needs_no_langgraph(cold: Cold) -> None:
    loaded = cold.run(
        "import sys, types\n"
        "from handler.main import handler\n"
        "event = {'resource': '/{proxy+}', 'httpMethod': 'GET', 'headers': {}, 'multiValueHeaders': {}, 'body': None,\n"
        "         'path': '/threads/3f8ddfb0-5ff6-4b0c-9a2c-b0a5a4a2f5a2', 'requestContext': {'stage': 'prod'},\n"
        "         'queryStringParameters': None, 'multiValueQueryStringParameters': None, 'isBase64Encoded': False}\n"
        "answer = handler(event, types.SimpleNamespace(aws_request_id='r'))\n"
        "assert answer['statusCode'] == 404, answer\n"
        "print(' '.join(sorted(sys.modules)))"
    ).split()
    assert [name for name in loaded if name.split(".")[0] in NEVER_BEFORE_A_GRAPH] == []
