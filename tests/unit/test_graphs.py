"""Graphs of a langgraph.json: what is read, what is refused, what a run gets to see."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handler.domain.models import ThreadTtl, TtlStrategy
from handler.errors import GraphLoadError
from handler.runs.graphs import GraphConfig, Graphs, TtlConfig, read_config

NOW = datetime(2026, 1, 2, tzinfo=UTC)

BUILDER = """
    import contextlib
    from typing import TypedDict
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph import START, StateGraph

    class State(TypedDict, total=False):
        said: str

    calls = []

    def made(said):
        calls.append(said)
        builder = StateGraph(State)
        builder.add_node("speak", lambda state: {"said": said})
        builder.add_edge(START, "speak")
        return builder

    def of(config):
        return "to " + config["configurable"]["thread_id"]

    builder = made("builder")
    graph = made("graph").compile()

    def plain(): return made("plain")
    def with_config(config: RunnableConfig): return made(of(config)).compile()
    def with_any_name(settings): return made(of(settings))
    def with_default(config=None): return made(of(config))
    def with_config_second(tone="calm", config=None): return made(tone + " " + of(config))
    def with_keyword_only(*, config): return made(of(config))
    def with_other_default(tone="calm"): return made(tone)
    async def coroutine(): return made("coroutine").compile()
    async def coroutine_with_config(config): return made(of(config))

    @contextlib.contextmanager
    def manager(config):
        calls.append("opened")
        yield made(of(config))
        calls.append("closed")

    @contextlib.asynccontextmanager
    async def async_manager():
        calls.append("opened")
        yield made("async manager").compile()
        calls.append("closed")

    def two(config, store): return made("never")
    def wrong(): return 5
    number = 5
    empty = StateGraph(State)
"""


@pytest.fixture(autouse=True)
def process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading a graph changes sys.path, sys.modules and the environment: put them back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules, environment = dict(sys.modules), dict(os.environ)
    yield
    for name in set(sys.modules) - set(modules):
        if getattr(sys.modules[name], "__file__", None) and "pytest-" in str(sys.modules[name].__file__):
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)


def written(directory: Path, content: Any, **files: str) -> Path:
    """A langgraph.json in `directory` beside some Python files."""
    for name, text in files.items():
        (directory / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    path = directory / "langgraph.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def config_of(directory: Path, graphs: dict[str, Any], **others: Any) -> GraphConfig:
    return read_config(written(directory, {"graphs": graphs, **others}, agent=BUILDER))


async def said(graphs: Graphs, graph_id: str) -> Any:
    """What a graph says when it is opened and run as a server does."""
    config: dict[str, Any] = {"configurable": {"thread_id": "T"}}
    async with graphs.open(graph_id, config, name="opened") as graph:
        assert graph.name == "opened"
        return (await graph.ainvoke({}))["said"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", '"graphs" must be an object with at least one graph'),
        ({}, '"graphs" must be an object with at least one graph'),
        ({"graphs": {}}, '"graphs" must be an object with at least one graph'),
        ({"graphs": ["a.py:b"]}, '"graphs" must be an object with at least one graph'),
        ({"graphs": {"a": 5}}, 'graph "a" must be "path/to/file.py:attribute"'),
        ({"graphs": {"a": None}}, 'graph "a" must be "path/to/file.py:attribute"'),
        ({"graphs": {"a": "./a.py"}}, 'graph "a" must be "path/to/file.py:attribute"'),
        ({"graphs": {"a": {"description": "x"}}}, 'graph "a" must be "path/to/file.py:attribute"'),
        ({"graphs": {"a": "./a.ts:graph"}}, 'graph "a" is a JavaScript graph (./a.ts), which is not supported'),
        ({"graphs": {"a": {"path": "a.mjs:g"}}}, 'graph "a" is a JavaScript graph (a.mjs), which is not supported'),
        ({"graphs": {"a": "a:b"}, "dependencies": "."}, '"dependencies" must be a list of strings'),
        ({"graphs": {"a": "a:b"}, "dependencies": [1]}, '"dependencies" must be a list of strings'),
        ({"graphs": {"a": "a:b"}, "env": ["x"]}, '"env" must be a file name or an object'),
        ({"graphs": {"a": "a:b"}, "env": ".env"}, '"env" names .env, and there is no such file'),
        ({"graphs": {"a": "a:b"}, "auth": {"path": "./auth.py:auth"}}, '"auth" is not supported: the gateway'),
        ({"graphs": {"a": "a:b"}, "encryption": {"path": "./e.py:e"}}, '"encryption" is not supported: AesKey'),
        ({"graphs": {"a": "a:b"}, "checkpointer": {"backend": "mongo"}}, '"checkpointer.backend" is not supported'),
    ],
)
def test_a_config_that_cannot_be_served_is_refused_by_name(tmp_path: Path, content: Any, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(GraphLoadError) as refused:
        read_config(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphLoadError, match=r"nowhere\.json: no such file"):
        read_config(tmp_path / "nowhere.json")
    with pytest.raises(GraphLoadError, match="directory"):
        read_config(tmp_path)


def test_a_config_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "langgraph.json"
    path.write_bytes(b'{"graphs": "\xff"}')
    with pytest.raises(GraphLoadError, match=r"langgraph\.json: "):
        read_config(path)


def test_graphs_are_named_by_text_or_with_a_description(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"a": "./agent.py:graph", "b": {"path": "pkg.mod:graph", "description": "Does b."}})
    a, b = config.graphs["a"], config.graphs["b"]
    assert (a.graph_id, a.source, a.attribute, a.description) == ("a", "./agent.py", "graph", None)
    assert (b.graph_id, b.source, b.attribute, b.description) == ("b", "pkg.mod", "graph", "Does b.")
    assert Graphs(config).ids == ("a", "b")


def test_what_other_servers_read_of_a_config_is_ignored(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"a": "./agent.py:graph"}, python_version="3.11", dockerfile_lines=["x"], store={})
    assert list(config.graphs) == ["a"]
    assert (config.dependencies, config.env) == ((), None)


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("graph", "graph"),
        ("builder", "builder"),
        ("plain", "plain"),
        ("with_config", "to T"),
        ("with_any_name", "to T"),
        ("with_default", "to T"),
        ("with_config_second", "calm to T"),
        ("with_keyword_only", "to T"),
        ("with_other_default", "calm"),
        ("coroutine", "coroutine"),
        ("coroutine_with_config", "to T"),
        ("manager", "to T"),
        ("async_manager", "async manager"),
    ],
)
async def test_a_graph_may_be_given_in_each_of_the_forms_of_langgraph_json(
    tmp_path: Path, attribute: str, expected: str
) -> None:
    graphs = Graphs(config_of(tmp_path, {"a": f"./agent.py:{attribute}"}))
    graphs.load_all()
    assert await said(graphs, "a") == expected


async def test_a_factory_makes_a_graph_for_each_run_and_a_graph_is_loaded_once(tmp_path: Path) -> None:
    graphs = Graphs(config_of(tmp_path, {"a": "./agent.py:plain", "b": "./agent.py:graph"}))
    calls = sys.modules[graphs.load("a").__module__].calls
    before = list(calls)
    for graph_id in ("a", "b", "a", "b"):
        await said(graphs, graph_id)
    assert calls == [*before, "plain", "plain"]


async def test_a_context_manager_is_closed_when_the_run_has_ended(tmp_path: Path) -> None:
    graphs = Graphs(config_of(tmp_path, {"a": "./agent.py:manager", "b": "./agent.py:async_manager"}))
    calls = sys.modules[graphs.load("b").__wrapped__.__module__].calls
    for graph_id in ("a", "b"):
        del calls[:]
        await said(graphs, graph_id)
        assert (calls[0], calls[-1]) == ("opened", "closed")


async def test_opening_a_graph_leaves_the_loaded_one_alone(tmp_path: Path) -> None:
    graphs = Graphs(config_of(tmp_path, {"a": "./agent.py:graph"}))
    name = graphs.load("a").name
    assert await said(graphs, "a") == "graph"
    assert graphs.load("a").name == name != "opened"


async def test_a_graph_may_stand_in_a_package(tmp_path: Path) -> None:
    package = tmp_path / "bundle_of_graphs"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "words.py").write_text("WORD = 'packaged'\n", encoding="utf-8")
    text = textwrap.dedent(BUILDER) + "\nfrom .words import WORD\npackaged = made(WORD)\n"
    (package / "agent.py").write_text(text, encoding="utf-8")
    graphs = Graphs(config_of(tmp_path, {"a": "bundle_of_graphs.agent:packaged"}, dependencies=["."]))
    assert await said(graphs, "a") == "packaged"


async def test_paths_are_relative_to_the_config_wherever_the_server_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    written(tmp_path / "deep", {}, agent=BUILDER)
    path = written(tmp_path / "deep" / "down", {"graphs": {"a": "../agent.py:graph"}})
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert await said(Graphs(read_config(Path("..", "deep", "down", "langgraph.json"))), "a") == "graph"
    assert path.is_file()


async def test_local_dependencies_can_be_imported_and_others_are_left_to_pip(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words_of_a_dependency.py").write_text("WORD = 'imported'\n", encoding="utf-8")
    text = textwrap.dedent(BUILDER) + "\nfrom words_of_a_dependency import WORD\ngraph = made(WORD)\n"
    path = written(tmp_path, {"graphs": {"a": "./a.py:graph"}, "dependencies": ["./lib", "langchain"]}, a=text)
    before = list(sys.path)
    assert await said(Graphs(read_config(path)), "a") == "imported"
    assert [entry for entry in sys.path if entry not in before] == [str(tmp_path), str(tmp_path / "lib")]


def test_env_as_an_object_is_there_when_the_graph_is_imported_and_overrides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIT_TOLD", "from outside")
    monkeypatch.delenv("UNIT_FREE", raising=False)
    text = textwrap.dedent(BUILDER) + "\nimport os\nassert os.environ['UNIT_FREE'] == '5'\n"
    env = {"UNIT_TOLD": "from the file", "UNIT_FREE": 5}
    path = written(tmp_path, {"graphs": {"a": "./a.py:graph"}, "env": env}, a=text)
    config = read_config(path)
    assert "UNIT_FREE" not in os.environ
    Graphs(config).load_all()
    assert (os.environ["UNIT_TOLD"], os.environ["UNIT_FREE"]) == ("from outside", "5")


def test_env_as_a_file_is_read_as_dotenv_does(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# comment\nexport A=1\nB='two words'\nC\nD=\n", encoding="utf-8")
    config = config_of(tmp_path, {"a": "./agent.py:graph"}, env=".env")
    assert config.env == {"A": "1", "B": "two words", "D": ""}


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("./gone.py:graph", "", r"\./gone\.py:graph: there is no file .*gone\.py"),
        ("./a:graph", "", r"\./a:graph: there is no file"),
        ("gone_module:graph", "", r"gone_module:graph cannot be imported: ModuleNotFoundError: .*gone_module"),
        ("./a.py:missing", "", r"\./a\.py:missing: the file has no attribute 'missing'"),
        ("./a.py:", "", r"\./a\.py:: the file has no attribute ''"),
        ("./a.py:x", "x = 5", r"\./a\.py:x is a int, neither a graph nor a function that makes one"),
        ("./a.py:x", "x = 1 / 0", r"\./a\.py:x cannot be imported: ZeroDivisionError: division by zero"),
        ("./a.py:x", "def x(:", r"\./a\.py:x cannot be imported: SyntaxError"),
        ("./a.py:x", "import sys\nsys.exit(3)", r"\./a\.py:x cannot be imported: SystemExit: 3"),
        ("./a.py:empty", BUILDER, r"\./a\.py:empty cannot be compiled: ValueError: .*entrypoint"),
    ],
)
def test_a_graph_that_does_not_load_names_file_and_attribute(
    tmp_path: Path, source: str, text: str, message: str
) -> None:
    graphs = Graphs(read_config(written(tmp_path, {"graphs": {"mine": source}}, a=text)))
    with pytest.raises(GraphLoadError, match=f"^graph 'mine': {message}"):
        graphs.load_all()


def test_a_module_that_failed_is_imported_anew_the_next_time(tmp_path: Path) -> None:
    path = written(tmp_path, {"graphs": {"a": "./a.py:graph"}}, a="raise OSError('not yet')")
    with pytest.raises(GraphLoadError, match="not yet"):
        Graphs(read_config(path)).load_all()
    written(tmp_path, {"graphs": {"a": "./a.py:graph"}}, a=BUILDER)
    Graphs(read_config(path)).load_all()


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("two", r"takes \(config, store\); a factory takes nothing or the run's config"),
        ("wrong", "returned a int, not a graph"),
    ],
)
async def test_a_factory_that_makes_no_graph_names_itself(tmp_path: Path, attribute: str, message: str) -> None:
    graphs = Graphs(config_of(tmp_path, {"a": f"./agent.py:{attribute}"}))
    with pytest.raises(GraphLoadError, match=rf"\./agent\.py:{attribute} {message}"):
        await said(graphs, "a")


async def test_a_factorys_own_error_is_its_own(tmp_path: Path) -> None:
    text = "def graph():\n    raise KeyError('secret')\n"
    graphs = Graphs(read_config(written(tmp_path, {"graphs": {"a": "./a.py:graph"}}, a=text)))
    with pytest.raises(KeyError, match="secret"):
        await said(graphs, "a")


def test_two_configs_with_a_file_of_the_same_name_do_not_meet(tmp_path: Path) -> None:
    loaded = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        loaded.append(Graphs(config_of(tmp_path / name, {"a": "./agent.py:plain"})).load("a"))
    assert loaded[0].__module__ != loaded[1].__module__
    again = Graphs(read_config(tmp_path / "one" / "langgraph.json")).load("a")
    assert again is loaded[0]


def test_a_graphs_module_has_the_same_name_in_every_process_and_place(tmp_path: Path) -> None:
    """Checkpoints hold values of a graph's own classes by the module's name: another machine must find it."""
    program = (
        "import sys; from pathlib import Path; from handler.runs.graphs import Graphs, read_config;"
        "print(Graphs(read_config(Path(sys.argv[1]))).load('a').__module__)"
    )
    names = set()
    for seed, place in (("1", "here"), ("2", "there")):
        (tmp_path / place / "src").mkdir(parents=True)
        written(tmp_path / place / "src", {}, agent=BUILDER)
        path = written(tmp_path / place, {"graphs": {"a": "./src/agent.py:plain"}})
        result = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        names.add(result.stdout.strip())
    assert len(names) == 1


def ttl_of(tmp_path: Path, **ttl: Any) -> TtlConfig:
    return config_of(tmp_path, {"a": "./agent.py:graph"}, checkpointer={"ttl": ttl}).ttl


def test_threads_are_kept_for_ever_unless_the_config_says_otherwise(tmp_path: Path) -> None:
    for config in (config_of(tmp_path, {"a": "./agent.py:graph"}).ttl, ttl_of(tmp_path, strategy="delete")):
        assert config.of_new_thread(NOW) is None
        assert config.of_new_thread(NOW, minutes=1) == ThreadTtl(TtlStrategy.DELETE, 1, NOW + timedelta(minutes=1))


def test_the_config_says_how_long_new_threads_are_kept(tmp_path: Path) -> None:
    config = ttl_of(tmp_path, strategy="keep_latest", default_ttl=60, sweep_interval_minutes=7)
    assert config.sweep_minutes == 7
    assert config.of_new_thread(NOW) == ThreadTtl(TtlStrategy.KEEP_LATEST, 60, NOW + timedelta(hours=1))
    assert config.of_new_thread(NOW, "delete", 1) == ThreadTtl(TtlStrategy.DELETE, 1, NOW + timedelta(minutes=1))


@pytest.mark.parametrize(
    "ttl",
    [{"default_ttl": "x"}, {"default_ttl": 0}, {"default_ttl": -1}, {"strategy": "x"}, {"sweep_interval_minutes": 0}],
    ids=str,
)
def test_a_ttl_that_says_nothing_sensible_is_refused(ttl: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(GraphLoadError, match=r"checkpointer\.ttl"):
        ttl_of(tmp_path, **ttl)
