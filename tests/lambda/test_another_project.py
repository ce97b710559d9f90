"""Another project's folder, with its own langgraph.json, dependencies and .env, is built and served as it is."""

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.engines import Engine
from tests.events import Request, read_response, rest_event
from tests.rie import ROOT, sandbox

PROJECT = Path(__file__).parent / "project"


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API function's artefact of the other project, as `make build` leaves it."""
    folder = tmp_path_factory.mktemp("built")
    command = ["make", "--no-print-directory", "build", "TARGET=host", f"BUILD_PYTHON={sys.executable}"]
    built = subprocess.run(
        [*command, f"PROJECT={PROJECT / 'langgraph.json'}", f"BUILD_DIR={folder}"],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert built.returncode == 0, built.stdout
    return folder / "ApiFunction"


@pytest.mark.slow
def test_its_graph_runs_with_its_packages_folders_and_variables(another: Path, engine: Engine) -> None:
    table = engine.create_table(f"other-{uuid.uuid4().hex[:8]}")
    environment = {**engine.environment, "TABLE_NAME": table, "LANGGRAPH_CONFIG": "project/langgraph.json"}
    with sandbox(another, environment) as started:
        body = {"assistant_id": "counter", "input": {}, "if_not_exists": "create"}
        path = f"/threads/{uuid.uuid4()}/runs/wait"
        answers = [read_response(started.invoke(rest_event(Request("POST", path, body=body))).payload) for _ in "ab"]
        assert [answer.json() for answer in answers] == [
            {"count": 1, "said": "You counted to one"},
            {"count": 2, "said": "You counted to two"},
        ]
        graphs = read_response(started.invoke(rest_event(Request("GET", "/info"))).payload).json()["graphs"]
        assert graphs == ["counter"]


@pytest.mark.slow
def test_its_artefact_holds_its_files_and_no_others(another: Path) -> None:
    files = {str(path.relative_to(another / "project")) for path in (another / "project").rglob("*.*")}
    assert {".env", "langgraph.json", "counter.py", "words/wording.py"} <= files
    assert "agent.py" not in str(files)
    assert (another / "humanize").is_dir()
    assert not (another / "boto3").exists()
