"""Which tests call which endpoint, read off their sources."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from handler.api.endpoints import ENDPOINTS
from tests.difference.clients import METHODS, python_methods

TESTS = Path(__file__).parents[1]
FOLDERS = ("contract", "e2e", "difference/areas")
VERBS = tuple(method.upper() for method in METHODS)
WAITS = ("wait", "s.wait")
"""What the suites call their helper for a wait."""

THREAD = ("s.at", "session.at")
"""Expressions that stand for the path of a thread."""


@cache
def evidence() -> dict[str, list[str]]:
    """Endpoint → the test modules that call it, the one with the most calls first."""
    found: dict[str, Counter[str]] = {endpoint: Counter() for endpoint in ENDPOINTS}
    for folder in FOLDERS:
        for source in sorted((TESTS / folder).glob("*.py")):
            name = str(source.relative_to(TESTS).with_suffix(""))
            for endpoint, count in Counter(called_in(ast.parse(source.read_text()))).items():
                found[endpoint][name] = count
    return {endpoint: [name for name, _ in modules.most_common()] for endpoint, modules in found.items()}


def called_in(module: ast.Module) -> Iterator[str]:
    """The endpoints that a module calls: by path, or by a method of the SDK."""
    clients = python_methods()
    for one in ast.walk(module):
        if not isinstance(one, ast.Call):
            continue
        name = ast.unparse(one.func)
        words = [text for argument in one.args[:2] if (text := text_of(argument)) is not None]
        verb = name.rpartition(".")[2].upper()
        if name.startswith(("sdk.", "client.")):
            yield from clients.get(name.partition(".")[2], set()) & set(ENDPOINTS)
        if name in WAITS:
            yield "POST /threads/{thread_id}/runs/wait"
        elif len(words) == 2 and words[0] in VERBS:
            yield from known(words[0], words[1])
        elif words and (verb in VERBS or name == "read"):
            yield from known("GET" if name == "read" else verb, words[-1])


def text_of(node: ast.expr) -> str | None:
    """A literal text, with `*` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value))
            else:
                assert isinstance(part, ast.FormattedValue)
                parts.append("/threads/*" if ast.unparse(part.value) in THREAD else "*")
        return "".join(parts)
    return None


def known(method: str, path: str) -> Iterator[str]:
    """The endpoint that a path belongs to, the one with the fewest parameters first."""
    parts = re.split(r"[?]", path)[0].split("/")
    fitting = [endpoint for endpoint in ENDPOINTS if fits(endpoint, method, parts)]
    yield from sorted(fitting, key=lambda endpoint: endpoint.count("{"))[:1]


def fits(endpoint: str, method: str, parts: list[str]) -> bool:
    """Whether a path is one of an endpoint."""
    verb, _, path = endpoint.partition(" ")
    expected = path.split("/")
    return (
        verb == method
        and len(expected) == len(parts)
        and all(one == other or one.startswith("{") for one, other in zip(expected, parts, strict=True))
    )
