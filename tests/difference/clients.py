"""Which endpoints LangGraph's clients call, read off their sources; clients.json keeps what needs a download."""

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import langgraph_sdk

KEPT = Path(__file__).parent / "clients.json"
METHODS = ("get", "post", "put", "patch", "delete")
PARAMETERS = {"thread": "thread_id", "run": "run_id", "assistant": "assistant_id", "cron": "cron_id"}

FROM_GETTERS = {"/threads/{thread_id}/commands": "POST", "/threads/{thread_id}/stream/events": "POST"}
"""Paths that JavaScript sources keep apart from their calls."""


@cache
def python_endpoints() -> set[str]:
    """What the installed Python SDK calls."""
    root = Path(langgraph_sdk.__file__).parent
    modules = [*(root / "_sync").glob("*.py"), *(root / "stream" / "transport").glob("sync_*.py")]
    return {endpoint for module in modules for endpoint in endpoints_of(ast.parse(module.read_text()))}


@cache
def python_functions() -> Sequence[tuple[str, ast.FunctionDef]]:
    """The functions of the Python SDK's clients, overloads too: `threads.create`, and its source."""
    found = []
    for source in (Path(langgraph_sdk.__file__).parent / "_sync").glob("*.py"):
        client = "crons" if source.stem == "cron" else source.stem
        functions = (one for one in ast.walk(ast.parse(source.read_text())) if isinstance(one, ast.FunctionDef))
        found += [(f"{client}.{function.name}", function) for function in functions]
    return found


@cache
def python_methods() -> dict[str, set[str]]:
    """What each method of the Python SDK calls: `threads.create` → endpoints."""
    found: dict[str, set[str]] = {}
    for name, function in python_functions():
        called = found.setdefault(name, set())
        for method, first in calls_in(function):
            called |= {f"{method} {path}" for path in set(paths_in(first)) or set(paths_in(function))}
    return found


@cache
def python_fields() -> dict[str, set[str]]:
    """The names of all that each method of the Python SDK writes into dictionaries: `threads.create` → names."""
    found: dict[str, set[str]] = {}
    for name, function in python_functions():
        found.setdefault(name, set()).update(names_written(function))
    return found


def names_written(node: ast.AST) -> Iterator[str]:
    """The constant keys of the dictionaries below a node, and those that are set."""
    for one in ast.walk(node):
        keys = one.keys if isinstance(one, ast.Dict) else []
        if isinstance(one, ast.Subscript) and isinstance(one.ctx, ast.Store):
            keys = [one.slice]
        yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def endpoints_of(module: ast.Module) -> Iterator[str]:
    """What the classes of a module call: by the call's own path, or by those of its function or its class."""
    for one in ast.walk(module):
        if isinstance(one, ast.ClassDef):
            for function in one.body:
                for method, first in calls_in(function):
                    paths = set(paths_in(first)) or set(paths_in(function)) or set(paths_in(one))
                    yield from (f"{method} {path}" for path in paths)


def calls_in(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The HTTP calls below a node, `….get(path)` or `….stream(path, "POST")`: method and first argument."""
    for one in ast.walk(node):
        if not isinstance(one, ast.Call) or not isinstance(one.func, ast.Attribute) or not one.args:
            continue
        words = [word.value for word in one.args[:2] if isinstance(word, ast.Constant)]
        verbs = [word for word in words if isinstance(word, str) and word.isupper() and word.lower() in METHODS]
        if verbs:
            yield verbs[0], one.args[0]
        elif one.func.attr in METHODS and ast.unparse(one.func.value).endswith(("http", "client")):
            yield one.func.attr.upper(), one.args[0]


def paths_in(node: ast.AST) -> Iterator[str]:
    """The paths below a node; what is filled in stands as `{…}`."""
    if isinstance(node, ast.JoinedStr):
        values = [
            str(part.value) if isinstance(part, ast.Constant) else parameter(ast.unparse(part)) for part in node.values
        ]
        if values[:1] and values[0].startswith("/"):
            yield "".join(values)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str) and re.fullmatch(r"/[a-z/]+[a-z]", node.value):
            yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from paths_in(child)


def parameter(expression: str) -> str:
    """The parameter of a path that an expression stands for."""
    for name in ("namespace", "checkpoint", "assistant", "thread", "cron", "run"):
        if name in expression.lower():
            return "{" + {"checkpoint": "checkpoint_id"}.get(name, PARAMETERS.get(name, name)) + "}"
    return "{thread_id}"


def javascript_endpoints(package: Path) -> set[str]:
    """What an unpacked JavaScript SDK calls."""
    return {
        endpoint
        for source in (package / "dist").rglob("*.js")
        for endpoint in javascript_calls(source.read_text(errors="replace"))
    }


def javascript_calls(source: str) -> Iterator[str]:
    """The paths in a source, each with the method that is named after it, before the next; GET is the default."""
    found = list(re.finditer(r'[`"](/(?:threads|runs|assistants|store|ui)\b(?:\$\{[^}]*\}|[^`"\s])*)[`"]', source))
    for number, one in enumerate(found):
        later = [other.start() for other in found[number + 1 :] if "\n" in source[one.end() : other.start()]]
        rest = source[one.end() : min([one.end() + 400, *later[:1]])]
        method = re.search(r'method: "(\w+)"', rest)
        path = re.sub(r"\$\{([^}]*)\}", lambda match: parameter(match[1]), one[1]).partition("?")[0]
        yield f"{method[1] if method else FROM_GETTERS.get(path, 'GET')} {path}"


def reference_endpoints(document: dict[str, Any]) -> set[str]:
    """What the reference documents."""
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


def kept() -> dict[str, list[str]]:
    """Client and version → the endpoints that it calls."""
    clients: dict[str, list[str]] = json.loads(KEPT.read_text())
    return clients


def callers() -> dict[str, set[str]]:
    """Endpoint → the clients that call it, without their versions."""
    found: dict[str, set[str]] = {}
    for client, endpoints in [*kept().items(), (f"py {version('langgraph-sdk')}", python_endpoints())]:
        for endpoint in endpoints:
            found.setdefault(endpoint, set()).add(client.split(" ")[0])
    return found


def main(arguments: Iterable[str]) -> None:
    """Write clients.json: `reference VERSION OPENAPI.json` and `js VERSION PACKAGE`, any number of times."""
    words = list(arguments)
    clients = {}
    for kind, number, place in zip(words[::3], words[1::3], words[2::3], strict=True):
        source = Path(place)
        found = javascript_endpoints(source) if kind == "js" else reference_endpoints(json.loads(source.read_text()))
        clients[f"{kind} {number}"] = sorted(found)
    KEPT.write_text(json.dumps(clients, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
