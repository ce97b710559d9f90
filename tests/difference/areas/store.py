"""`client.store`: items, search, namespaces."""

from typing import Any

from tests.difference.scenario import Area
from tests.difference.session import Session

area = Area("store")


@area.scenario
def item_is_put_read_and_deleted(s: Session) -> None:
    s.put("/store/items", {"namespace": [s.tag, "a"], "key": "k", "value": {"n": 1, "o": {"x": [1, None]}}})
    s.get("/store/items", params={"namespace": f"{s.tag}.a", "key": "k"})
    s.delete("/store/items", {"namespace": [s.tag, "a"], "key": "k"})
    s.get("/store/items", params={"namespace": f"{s.tag}.a", "key": "k"})
    s.delete("/store/items", {"namespace": [s.tag, "a"], "key": "k"})


@area.scenario
def item_is_replaced(s: Session) -> None:
    for number in (1, 2):
        s.put("/store/items", {"namespace": [s.tag], "key": "k", "value": {"n": number}})
        s.get("/store/items", params={"namespace": s.tag, "key": "k"})


@area.each(
    {
        "no namespace": {"key": "k", "value": {}},
        "an empty namespace": {"namespace": [], "key": "k", "value": {}},
        "an empty label": {"namespace": ["a", ""], "key": "k", "value": {}},
        "a label with a dot": {"namespace": ["a.b"], "key": "k", "value": {}},
        "a label that is a number": {"namespace": [1], "key": "k", "value": {}},
        "a reserved root": {"namespace": ["langgraph"], "key": "k", "value": {}},
        "a namespace that is a string": {"namespace": "a", "key": "k", "value": {}},
        "no key": {"namespace": ["a"], "value": {}},
        "a key that is a number": {"namespace": ["a"], "key": 1, "value": {}},
        "no value": {"namespace": ["a"], "key": "k"},
        "a value that is a string": {"namespace": ["a"], "key": "k", "value": "x"},
        "a value that is null": {"namespace": ["a"], "key": "k", "value": None},
        "an index that is a string": {"namespace": ["a"], "key": "k", "value": {}, "index": "x"},
        "a ttl that is a string": {"namespace": ["a"], "key": "k", "value": {}, "ttl": "x"},
    }
)
def put_is_refused(s: Session, body: Any) -> None:
    s.put("/store/items", body)


@area.each(
    {
        "ttl": {"ttl": 10},
        "ttl null": {"ttl": None},
        "index false": {"index": False},
        "index of a field": {"index": ["n"]},
        "an unknown field": {"zzz": 1},
    }
)
def put(s: Session, fields: Any) -> None:
    s.put("/store/items", {"namespace": [s.tag], "key": "k", "value": {"n": 1}, **fields})
    s.get("/store/items", params={"namespace": s.tag, "key": "k"})


@area.each(
    {
        "no key": {"namespace": "a"},
        "no namespace": {"key": "k"},
        "an empty namespace": {"namespace": "", "key": "k"},
        "several labels": {"namespace": ["a", "b"], "key": "k"},
        "refresh_ttl": {"namespace": "a", "key": "zzz", "refresh_ttl": "false"},
    }
)
def get(s: Session, query: Any) -> None:
    s.get("/store/items", params=query)


@area.scenario
def delete_is_refused(s: Session) -> None:
    s.delete("/store/items", {"namespace": [s.tag]})
    s.delete("/store/items", {"key": "k"})
    s.delete("/store/items", {"namespace": ["a.b"], "key": "k"})


def filled(s: Session) -> None:
    """Five items below the scenario's own namespace; their order by place is that by time."""
    for number, place in enumerate((["even"], ["even"], ["even", "deep"], ["odd"], ["odd", "deep"])):
        namespace = [s.tag, *place]
        value = {"n": number, "kind": {"even": number % 2 == 0}, "text": f"t{number}"}
        s.quiet.put("/store/items", {"namespace": namespace, "key": f"k{number}", "value": value})


@area.each(
    {
        "all": {},
        "filter by value": {"filter": {"n": 3}},
        "filter by several": {"filter": {"n": 3, "text": "t3"}},
        "filter by an object": {"filter": {"kind": {"even": True}}},
        "filter equal": {"filter": {"n": {"$eq": 3}}},
        "filter not equal": {"filter": {"n": {"$ne": 3}}},
        "filter greater": {"filter": {"n": {"$gt": 2}}},
        "filter greater or equal": {"filter": {"n": {"$gte": 2}}},
        "filter less": {"filter": {"n": {"$lt": 2}}},
        "filter between": {"filter": {"n": {"$gte": 1, "$lte": 3}}},
        "filter with an unknown operator": {"filter": {"n": {"$zzz": 1}}},
        "filter of what none has": {"filter": {"zzz": 1}},
        "limit": {"limit": 2},
        "limit and offset": {"limit": 2, "offset": 4},
        "offset beyond the end": {"offset": 9},
        "limit none": {"limit": 0},
        "limit negative": {"limit": -1},
        "a query without an index": {"query": "words"},
        "filter a string": {"filter": "x"},
        "filter null": {"filter": None},
    }
)
def search(s: Session, body: Any) -> None:
    filled(s)
    s.post("/store/items/search", {"namespace_prefix": [s.tag], **body})


@area.scenario
def search_below_a_namespace(s: Session) -> None:
    filled(s)
    s.post("/store/items/search", {"namespace_prefix": [s.tag, "even"]})
    s.post("/store/items/search", {"namespace_prefix": [s.tag, "odd", "deep"]})
    s.post("/store/items/search", {"namespace_prefix": [s.tag, "nothing"]})
    s.post("/store/items/search", {"namespace_prefix": [s.tag[:8]]})


@area.each({"a string": {"namespace_prefix": "x"}, "a dot": {"namespace_prefix": ["a.b"]}})
def search_is_refused(s: Session, body: Any) -> None:
    s.post("/store/items/search", body)


@area.each(
    {
        "prefix": {},
        "depth": {"max_depth": 2},
        "suffix": {"suffix": ["deep"]},
        "limit": {"limit": 1},
        "offset": {"limit": 10, "offset": 2},
        "wildcard": {"prefix": ["*", "even"], "suffix": ["deep"], "max_depth": 3, "limit": 0},
        "prefix a string": {"prefix": "x"},
        "depth a string": {"max_depth": "x"},
        "limit too large": {"limit": 100000},
    }
)
def namespaces(s: Session, body: Any) -> None:
    filled(s)
    s.post("/store/namespaces", {"prefix": [s.tag], **body})


@area.scenario
def namespace_is_gone_with_its_last_item(s: Session) -> None:
    s.quiet.put("/store/items", {"namespace": [s.tag, "x"], "key": "k", "value": {}})
    s.post("/store/namespaces", {"prefix": [s.tag]})
    s.quiet.delete("/store/items", {"namespace": [s.tag, "x"], "key": "k"})
    s.post("/store/namespaces", {"prefix": [s.tag]})
