"""Writes the documents that are generated: docs/compatibility.md and docs/openapi.json."""

import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from handler.api.app import create_app
from handler.api.services import Services
from handler.runs.project import HttpConfig
from handler.settings import Settings
from tests.difference.compatibility import compatibility

DOCS = Path(__file__).parents[2] / "docs"


def openapi() -> dict[str, Any]:
    """The OpenAPI document; it depends on no service."""
    graphs = SimpleNamespace(config=SimpleNamespace(http=HttpConfig()))
    return create_app(cast("Services", SimpleNamespace(settings=Settings(), graphs=graphs))).openapi()


def documents() -> dict[Path, str]:
    """Each document's path and text."""
    return {
        DOCS / "compatibility.md": compatibility(version("langgraph-sdk")),
        DOCS / "openapi.json": json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
