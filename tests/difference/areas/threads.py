"""`client.threads`: create, read, change, delete, search, count, copy, prune."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("threads")


@area.each(
    {
        "nothing": {},
        "metadata": {"metadata": {"a": 1, "b": {"c": [1, None, "x"]}}},
        "a graph": {"metadata": {"graph_id": "agent"}},
        "names that are reserved": {"metadata": {"thread_id": "x", "assistant_id": "y", "own": 1}},
        "an unknown field": {"zzz": 1},
        "metadata null": {"metadata": None},
        "metadata a string": {"metadata": "x"},
        "metadata a list": {"metadata": []},
        "an id that is no UUID": {"thread_id": "abc"},
        "an id that is a number": {"thread_id": 5},
        "an id that is null": {"thread_id": None},
        "if_exists unknown": {"if_exists": "maybe"},
        "supersteps none": {"supersteps": []},
        "supersteps without a graph": {"supersteps": [{"updates": [{"values": {}, "as_node": "x"}]}]},
        "ttl minutes": {"ttl": {"ttl": 60, "strategy": "delete"}},
        "ttl without minutes": {"ttl": {"strategy": "delete"}},
        "ttl of unknown strategy": {"ttl": {"ttl": 60, "strategy": "nope"}},
        "ttl a string": {"ttl": "x"},
    }
)
def create(s: Session, body: Any) -> None:
    s.post("/threads", body)


@area.scenario
def create_with_an_id_of_the_callers(s: Session) -> None:
    s.post("/threads", {"thread_id": s.tag, "metadata": {"n": 1}})
    s.get(f"/threads/{s.tag}")


@area.scenario
def create_with_an_id_in_capitals(s: Session) -> None:
    s.post("/threads", {"thread_id": s.tag.upper()})
    s.get(f"/threads/{s.tag}")


@area.scenario
def create_twice_conflicts(s: Session) -> None:
    s.post("/threads", {"thread_id": s.tag})
    s.post("/threads", {"thread_id": s.tag})


@area.scenario
def create_twice_is_let_be(s: Session) -> None:
    s.post("/threads", {"thread_id": s.tag, "metadata": {"n": 1}})
    s.post("/threads", {"thread_id": s.tag, "metadata": {"n": 2}, "if_exists": "do_nothing"})


@area.scenario
def create_with_supersteps(s: Session) -> None:
    steps = [
        {"updates": [{"values": {"n": 2, "left": 2}, "as_node": "__input__"}]},
        {"updates": [{"values": {"entries": ["one"]}, "as_node": "begin"}]},
        {"updates": [{"values": {"entries": ["two"], "left": 0}, "as_node": "append"}]},
    ]
    thread = s.post("/threads", {"metadata": {"graph_id": "log"}, "supersteps": steps})["thread_id"]
    s.get(f"/threads/{thread}/state")
    s.post(f"/threads/{thread}/history", {"limit": 10})


@area.each({"unknown": UNKNOWN, "no UUID": "abc"})
def missing(s: Session, thread: str) -> None:
    s.get(f"/threads/{thread}")
    s.patch(f"/threads/{thread}", {"metadata": {"a": 1}})
    s.delete(f"/threads/{thread}")
    s.post(f"/threads/{thread}/copy")
    s.get(f"/threads/{thread}/state")
    s.get(f"/threads/{thread}/history")
    s.get(f"/threads/{thread}/runs")


@area.scenario
def read_after_a_run(s: Session) -> None:
    s.ran("human", {"question": "q"}, metadata={"mine": 1})
    s.get(s.at)


@area.scenario
def read_after_a_run_that_finished(s: Session) -> None:
    s.ran("long", {"steps": 1, "seconds": 0})
    s.get(s.at)


@area.scenario
def read_after_a_run_that_failed(s: Session) -> None:
    s.ran("fail", {"kind": "ValueError"})
    s.get(s.at)


@area.scenario
def read_after_a_run_with_config(s: Session) -> None:
    config = {"configurable": {"k": "v"}, "tags": ["t"], "recursion_limit": 30, "metadata": {"m": 1}}
    s.ran("long", {"steps": 1, "seconds": 0}, config=config)
    s.get(s.at)


@area.scenario
def read_while_a_run_is_under_way(s: Session) -> None:
    with s.busy():
        s.get(s.at)


@area.scenario
def read_with_ttl(s: Session) -> None:
    thread = s.quiet.post("/threads", {"ttl": {"ttl": 60, "strategy": "delete"}})["thread_id"]
    s.get(f"/threads/{thread}", params={"include": "ttl"})


@area.each(
    {
        "a key": {"metadata": {"b": 2}},
        "an object": {"metadata": {"o": {"y": 2}}},
        "null": {"metadata": {"a": None}},
        "nothing": {"metadata": {}},
        "reserved names": {"metadata": {"thread_id": "x", "assistant_id": "y"}},
        "a graph": {"metadata": {"graph_id": "log"}},
        "no metadata": {},
        "a string": {"metadata": "x"},
        "ttl": {"metadata": {}, "ttl": {"ttl": 30, "strategy": "delete"}},
        "ttl without minutes": {"metadata": {}, "ttl": {"strategy": "delete"}},
        "unknown field": {"metadata": {"a": 2}, "zzz": 1},
    }
)
def patch(s: Session, body: Any) -> None:
    s.quiet.post("/threads", {"thread_id": s.tag, "metadata": {"a": 1, "o": {"x": 1}}})
    s.patch(f"/threads/{s.tag}", body)
    s.get(f"/threads/{s.tag}")


@area.scenario
def patch_with_a_minimal_answer(s: Session) -> None:
    s.patch(s.at, {"metadata": {"a": 1}}, headers={"prefer": "return=minimal"})
    s.get(s.at)


@area.scenario
def delete_takes_everything_along(s: Session) -> None:
    s.ran("long", {"steps": 1, "seconds": 0})
    s.delete(s.at)
    s.get(s.at)
    s.get(f"{s.at}/state")
    s.get(f"{s.at}/runs")
    s.delete(s.at)


@area.scenario
def delete_while_a_run_is_under_way(s: Session) -> None:
    with s.busy():
        s.delete(s.at)
        s.get(s.at)


def three(s: Session) -> list[str]:
    """Three threads that this scenario alone can find: a finished one, an interrupted one, and one that never ran."""
    threads = []
    for number, (graph, given) in enumerate(
        (("long", {"steps": 1, "seconds": 0}), ("human", {"question": "q"}), (None, None))
    ):
        metadata = {"tag": s.tag, "number": number, "kind": {"even": number % 2 == 0}, "list": [1, {"a": 2}]}
        thread = s.quiet.post("/threads", {"metadata": metadata})["thread_id"]
        if graph:
            s.quiet.post(f"/threads/{thread}/runs/wait", {"assistant_id": graph, "input": given})
        threads.append(thread)
    return threads


@area.each(
    {
        "metadata": {},
        "metadata of an object": {"metadata": {"kind": {"even": True}}},
        "metadata that fits none": {"metadata": {"number": 9}},
        "metadata true for 1": {"metadata": {"number": True}},
        "metadata of a list": {"metadata": {"list": [1, {"a": 2}]}},
        "metadata of a part of a list": {"metadata": {"list": [{"a": 2}]}},
        "metadata of an element for a list": {"metadata": {"list": 1}},
        "status idle": {"status": "idle"},
        "status interrupted": {"status": "interrupted"},
        "status busy": {"status": "busy"},
        "status unknown": {"status": "nope"},
        "sorted by created_at": {"sort_by": "created_at", "sort_order": "asc"},
        "sorted by created_at, newest first": {"sort_by": "created_at", "sort_order": "desc"},
        "sorted by status": {"sort_by": "status", "sort_order": "asc", "select": ["status"]},
        "sorted by updated_at": {"sort_by": "updated_at", "sort_order": "asc"},
        "sorted by state_updated_at": {"sort_by": "state_updated_at", "sort_order": "desc"},
        "sorted by something unknown": {"sort_by": "zzz"},
        "sorted in an unknown order": {"sort_order": "up"},
        "limit": {"limit": 2},
        "limit and offset": {"limit": 2, "offset": 1},
        "offset beyond the end": {"offset": 10},
        "limit none": {"limit": 0},
        "limit too large": {"limit": 1001},
        "limit a string": {"limit": "x"},
        "offset negative": {"offset": -1},
        "select": {"select": ["thread_id", "metadata"]},
        "select values": {"select": ["thread_id", "values", "interrupts"]},
        "select something unknown": {"select": ["zzz"]},
        "select nothing": {"select": []},
        "values": {"values": {"done": 1}},
        "values that fit none": {"values": {"done": 7}},
        "extract": {"extract": {"q": "values.question", "n": "metadata.number"}, "select": ["thread_id"]},
        "extract something unknown": {"extract": {"q": "zzz.question"}},
        "extract what is not there": {"extract": {"q": "values.nothing.here"}, "select": ["metadata"]},
    }
)
def search(s: Session, body: Any) -> None:
    three(s)
    asked = {"metadata": {"tag": s.tag, **body.get("metadata", {})}}
    s.post("/threads/search", {**body, **asked})


@area.scenario
def search_by_ids(s: Session) -> None:
    threads = three(s)
    s.post("/threads/search", {"ids": [threads[0], threads[2]], "sort_by": "created_at", "sort_order": "asc"})
    s.post("/threads/search", {"ids": [UNKNOWN]})
    s.post("/threads/search", {"ids": ["abc"]})
    s.post("/threads/search", {"ids": [], "metadata": {"tag": s.tag}})


@area.scenario
def search_finds_what_was_patched(s: Session) -> None:
    threads = three(s)
    s.quiet.patch(f"/threads/{threads[0]}", {"metadata": {"number": 7}})
    s.post("/threads/search", {"metadata": {"tag": s.tag, "number": 7}})
    s.post("/threads/search", {"metadata": {"tag": s.tag, "number": 0}})


@area.scenario
def search_does_not_find_what_was_deleted(s: Session) -> None:
    threads = three(s)
    s.quiet.delete(f"/threads/{threads[1]}")
    s.post("/threads/search", {"metadata": {"tag": s.tag}, "sort_by": "created_at", "sort_order": "asc"})


@area.each(
    {
        "metadata": {},
        "status": {"status": "idle"},
        "values": {"values": {"done": 1}},
        "none": {"metadata": {"number": 9}},
        "status unknown": {"status": "nope"},
    }
)
def count(s: Session, body: Any) -> None:
    three(s)
    s.post("/threads/count", {**body, "metadata": {"tag": s.tag, **body.get("metadata", {})}})


@area.scenario
def copy_has_the_state_and_no_runs(s: Session) -> None:
    s.ran("human", {"question": "q"})
    copy = s.post(f"{s.at}/copy")["thread_id"]
    s.get(f"/threads/{copy}")
    s.get(f"/threads/{copy}/state")
    s.get(f"/threads/{copy}/runs")
    s.post(f"/threads/{copy}/history", {"limit": 10})


@area.scenario
def copy_goes_on_by_itself(s: Session) -> None:
    s.ran("human", {"question": "q"})
    copy = s.quiet.post(f"{s.at}/copy")["thread_id"]
    s.post(f"/threads/{copy}/runs/wait", {"assistant_id": "human", "command": {"resume": "yes"}})
    s.get(f"{s.at}/state")


@area.scenario
def copy_of_an_empty_thread(s: Session) -> None:
    copy = s.post(f"{s.at}/copy")["thread_id"]
    s.get(f"/threads/{copy}/state")


@area.each({"delete": "delete", "keep latest": "keep_latest", "unknown": "nope"})
def prune(s: Session, strategy: str) -> None:
    s.ran("long", {"steps": 2, "seconds": 0})
    s.post("/threads/prune", {"thread_ids": [s.thread, UNKNOWN], "strategy": strategy})
    s.get(s.at)
    s.get(f"{s.at}/state")
    s.post(f"{s.at}/history", {"limit": 10})


@area.scenario
def prune_of_what_is_no_thread(s: Session) -> None:
    s.post("/threads/prune", {"thread_ids": ["abc"]})
    s.post("/threads/prune", {})
    s.post("/threads/prune", {"thread_ids": []})
