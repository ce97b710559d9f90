"""`client.assistants`: create, read, change, delete, versions, search, count, graph, schemas."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session, assistant

area = Area("assistants")

GRAPHS = ("agent", "human", "long", "subgraph", "custom", "fail")


@area.each({graph: graph for graph in ("agent", "custom")})
def assistant_of_the_graph(s: Session, graph: str) -> None:
    s.get(f"/assistants/{assistant(graph)}")


@area.each({"unknown": UNKNOWN, "a name": "agent", "no UUID": "zzz"})
def missing(s: Session, name: str) -> None:
    s.get(f"/assistants/{name}")
    s.patch(f"/assistants/{name}", {"metadata": {}})
    s.delete(f"/assistants/{name}")
    s.post(f"/assistants/{name}/versions", {})
    s.post(f"/assistants/{name}/latest", {"version": 1})
    s.get(f"/assistants/{name}/schemas")


@area.each(
    {
        "a graph": {"graph_id": "agent"},
        "a name": {"graph_id": "agent", "name": "Ann", "description": "answers"},
        "metadata": {"graph_id": "agent", "metadata": {"a": {"b": 1}}},
        "a config": {"graph_id": "agent", "config": {"configurable": {"k": 1}, "tags": ["t"], "recursion_limit": 9}},
        "a context": {"graph_id": "custom", "context": {"user_name": "ann"}},
        "a context beside configurable": {
            "graph_id": "custom",
            "context": {"user_name": "ann"},
            "config": {"configurable": {"user_name": "bob"}},
        },
        "no graph": {},
        "an unknown graph": {"graph_id": "nope"},
        "a graph that is null": {"graph_id": None},
        "an id that is no UUID": {"graph_id": "agent", "assistant_id": "abc"},
        "metadata a string": {"graph_id": "agent", "metadata": "x"},
        "config a string": {"graph_id": "agent", "config": "x"},
        "if_exists unknown": {"graph_id": "agent", "if_exists": "zzz"},
        "an unknown field": {"graph_id": "agent", "zzz": 1},
        "a name that is null": {"graph_id": "agent", "name": None},
    }
)
def create(s: Session, body: Any) -> None:
    s.post("/assistants", body)


@area.scenario
def create_with_an_id_of_the_callers(s: Session) -> None:
    s.post("/assistants", {"graph_id": "agent", "assistant_id": s.tag})
    s.get(f"/assistants/{s.tag}")
    s.post("/assistants", {"graph_id": "agent", "assistant_id": s.tag})
    s.post("/assistants", {"graph_id": "log", "assistant_id": s.tag, "if_exists": "do_nothing"})


def made(s: Session, **fields: Any) -> str:
    """The path of a new assistant."""
    body = {"graph_id": "custom", "name": "one", "metadata": {"tag": s.tag, "a": 1}, **fields}
    return f"/assistants/{s.quiet.post('/assistants', body)['assistant_id']}"


@area.each(
    {
        "name": {"name": "two"},
        "description": {"description": "d"},
        "metadata": {"metadata": {"b": 2}},
        "metadata null": {"metadata": None},
        "config": {"config": {"configurable": {"k": 2}}},
        "context": {"context": {"user_name": "bob"}},
        "graph": {"graph_id": "agent"},
        "unknown graph": {"graph_id": "nope"},
        "nothing": {},
        "context beside configurable": {"context": {"a": 1}, "config": {"configurable": {"b": 1}}},
    }
)
def patch(s: Session, body: Any) -> None:
    path = made(s, context={"user_name": "ann"})
    s.patch(path, body)
    s.get(path)
    s.post(f"{path}/versions", {})


@area.scenario
def versions_are_listed_and_set(s: Session) -> None:
    path = made(s)
    for number in (2, 3):
        s.patch(path, {"name": f"v{number}", "metadata": {"n": number}})
    s.post(f"{path}/versions", {"limit": 2})
    s.post(f"{path}/versions", {"limit": 2, "offset": 2})
    s.post(f"{path}/versions", {"metadata": {"n": 2}})
    s.post(f"{path}/latest", {"version": 1})
    s.get(path)
    s.patch(path, {"name": "v4"})
    s.post(f"{path}/latest", {"version": 99})
    s.post(f"{path}/latest", {})


@area.scenario
def version_that_is_latest_is_run(s: Session) -> None:
    path = made(s, context={"user_name": "ann"})
    s.quiet.patch(path, {"context": {"user_name": "bob"}})
    identity = path.rpartition("/")[2]
    s.wait(identity, {"text": "x"})
    s.quiet.post(f"{path}/latest", {"version": 1})
    s.wait(identity, {"text": "x"})


@area.scenario
def run_has_the_config_of_its_assistant(s: Session) -> None:
    path = made(
        s, graph_id="log", config={"tags": ["own"], "configurable": {"k": "own", "l": 1}, "recursion_limit": 40}
    )
    s.wait(path.rpartition("/")[2], {"n": 1}, config={"configurable": {"k": "given"}, "tags": ["given"]})
    s.get(s.at)
    s.get(f"{s.at}/runs")


@area.scenario
def delete_of_an_assistant(s: Session) -> None:
    path = made(s)
    s.delete(path)
    s.get(path)
    s.delete(path)
    s.wait(path.rpartition("/")[2], {"text": "x"})


@area.scenario
def delete_with_its_threads(s: Session) -> None:
    path = made(s)
    s.ran(path.rpartition("/")[2], {"text": "x"})
    s.delete(path, params={"delete_threads": "true"})
    s.get(s.at)


@area.scenario
def delete_without_its_threads(s: Session) -> None:
    path = made(s)
    s.ran(path.rpartition("/")[2], {"text": "x"})
    s.delete(path)
    s.get(s.at)
    s.get(f"{s.at}/state")


@area.scenario
def assistant_of_a_graph_is_not_deleted(s: Session) -> None:
    s.delete(f"/assistants/{assistant('spare')}")
    s.get(f"/assistants/{assistant('spare')}")


def three(s: Session) -> None:
    """Three assistants that this scenario alone can find."""
    for number, graph in enumerate(("agent", "custom", "agent")):
        metadata = {"tag": s.tag, "number": number}
        s.quiet.post("/assistants", {"graph_id": graph, "name": f"Name {number}", "metadata": metadata})


@area.each(
    {
        "metadata": {},
        "graph": {"graph_id": "agent"},
        "unknown graph": {"graph_id": "nope"},
        "name": {"name": "name 1"},
        "name that fits none": {"name": "zzz"},
        "metadata that fits one": {"metadata": {"number": 2}},
        "sorted by name": {"sort_by": "name", "sort_order": "asc"},
        "sorted by name, last first": {"sort_by": "name", "sort_order": "desc"},
        "sorted by graph": {"sort_by": "graph_id", "sort_order": "asc", "select": ["graph_id"]},
        "sorted by something unknown": {"sort_by": "zzz"},
        "limit": {"limit": 2},
        "limit and offset": {"limit": 2, "offset": 2},
        "offset beyond the end": {"offset": 9},
        "limit none": {"limit": 0},
        "limit too large": {"limit": 1001},
        "select": {"select": ["assistant_id", "name"]},
        "select something unknown": {"select": ["zzz"]},
        "null fields": {"graph_id": None, "name": None},
    }
)
def search(s: Session, body: Any) -> None:
    three(s)
    s.post("/assistants/search", {**body, "metadata": {"tag": s.tag, **body.get("metadata", {})}})


@area.scenario
def search_finds_the_assistants_of_graphs(s: Session) -> None:
    body = {"metadata": {"created_by": "system"}, "sort_by": "name", "sort_order": "asc", "limit": 3}
    s.post("/assistants/search", body)


@area.each(
    {"metadata": {}, "graph": {"graph_id": "agent"}, "name": {"name": "name 1"}, "unknown": {"graph_id": "nope"}}
)
def count(s: Session, body: Any) -> None:
    three(s)
    s.post("/assistants/count", {**body, "metadata": {"tag": s.tag}})


@area.each({graph: graph for graph in GRAPHS})
def schemas(s: Session, graph: str) -> None:
    s.get(f"/assistants/{assistant(graph)}/schemas")


@area.each({graph: graph for graph in GRAPHS})
def graph(s: Session, name: str) -> None:
    s.get(f"/assistants/{assistant(name)}/graph")


@area.each({"true": "true", "a depth": "1", "false": "false", "a word": "zzz", "nothing": "0", "negative": "-1"})
def graph_with_xray(s: Session, depth: str) -> None:
    s.get(f"/assistants/{assistant('subgraph')}/graph", params={"xray": depth})


@area.scenario
def graph_by_its_name(s: Session) -> None:
    s.get("/assistants/subgraph/graph")
    s.get("/assistants/nope/graph")
    s.get(f"/assistants/{UNKNOWN}/graph")


@area.scenario
def subgraphs_are_listed(s: Session) -> None:
    s.get(f"/assistants/{assistant('subgraph')}/subgraphs")
    s.get(f"/assistants/{assistant('subgraph')}/subgraphs", params={"recurse": "true"})
    s.get(f"/assistants/{assistant('subgraph')}/subgraphs/child")
    s.get(f"/assistants/{assistant('subgraph')}/subgraphs/nope")
    s.get(f"/assistants/{assistant('agent')}/subgraphs")
