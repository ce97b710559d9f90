"""Which AWS actions the code takes, read off its syntax: nobody keeps a list of them by hand.

`Table`'s methods say which client operation they send; whoever calls a method on a table takes that operation's
action. A transaction takes the actions of the parts that are built anywhere in storage.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

HANDLER = Path(__file__).resolve().parents[2] / "handler"
STORAGE = HANDLER / "storage"

PARTS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}
"""The action that each part of TransactWriteItems needs."""


def calls(tree: ast.AST) -> Iterator[tuple[str, str, ast.Call]]:
    """Each call `….receiver.method(…)`: receiver, method, the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            value = node.func.value
            name = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
            yield name, node.func.attr, node


def table_operations() -> dict[str, set[str]]:
    """The client operations that each method of Table sends, those of the private methods it calls included."""
    (table,) = (
        node
        for node in ast.parse((STORAGE / "table.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "Table"
    )
    methods = {node.name: node for node in table.body if isinstance(node, ast.FunctionDef)}

    def operations(name: str) -> set[str]:
        found: set[str] = set()
        for receiver, method, call in calls(methods[name]):
            if receiver == "self" and method in ("_send", "_call"):
                found |= {arg.value for arg in call.args[:1] if isinstance(arg, ast.Constant)}  # type: ignore[misc]
            elif receiver == "self" and method in methods:
                found |= operations(method)
        return found

    return {name: operations(name) for name in methods if not name.startswith("_")}


def action(operation: str) -> str:
    """`get_item` as GetItem."""
    return "".join(word.capitalize() for word in operation.split("_"))


def transaction_actions() -> set[str]:
    """The actions of the parts of all transactions that storage builds."""
    names = {
        key.value
        for path in STORAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and key.value in PARTS
    }
    return {PARTS[str(name)] for name in names}


def table_actions() -> dict[str, set[str]]:
    """Each action on the table, with the modules that take it."""
    operations = table_operations()
    found: dict[str, set[str]] = {}
    for path in HANDLER.rglob("*.py"):
        for receiver, method, _call in calls(ast.parse(path.read_text())):
            if receiver not in ("table", "self.table") or method not in operations:
                continue
            for operation in operations[method]:
                taken = transaction_actions() if operation == "transact_write_items" else {action(operation)}
                for name in taken:
                    found.setdefault(name, set()).add(str(path.relative_to(HANDLER)))
    return found


def indexes_queried() -> set[str]:
    """The statements' modules that name an index to query."""
    return {
        path.name
        for path in STORAGE.rglob("*.py")
        if path.name != "schema.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value == "IndexName"
    }


def queue_actions() -> set[str]:
    """The actions that the code takes on the queue when it runs on Lambda, which takes messages off by itself."""
    (wakes,) = (
        node
        for node in ast.parse((STORAGE / "queue.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "SqsWakes"
    )
    only_local = {"receive", "done"}
    methods = [node for node in wakes.body if isinstance(node, ast.FunctionDef) and node.name not in only_local]
    return {action(name) for method in methods for receiver, name, _call in calls(method) if receiver == "client"}


def schedule_actions() -> set[str]:
    """The actions that the code takes on schedules."""
    tree = ast.parse((STORAGE / "timers.py").read_text())
    return {action(name) for receiver, name, _call in calls(tree) if receiver == "client"}


def methods_called(name: str) -> set[str]:
    """The modules in which a method or function of this name is called."""
    return {
        str(path.relative_to(HANDLER))
        for path in HANDLER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and name == (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
    }
