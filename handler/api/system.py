"""/ok and /info."""

from importlib.metadata import version

from fastapi import APIRouter, Response

from handler import __version__
from handler.api.answers import json_answer
from handler.api.services import TheServices

router = APIRouter(tags=["system"])
meta_router = APIRouter(tags=["meta"])


@router.get("/ok")
async def ok() -> Response:
    """Whether the server answers."""
    return json_answer({"ok": True, "services": {}})


@meta_router.get("/info")
async def info(services: TheServices) -> Response:
    """Which server this is, and what it serves."""
    return json_answer(
        {
            "version": __version__,
            "langgraph_py_version": version("langgraph"),
            "flags": {"assistants": True, "crons": True, "langsmith": False, "strict_resume": True},
            "host": {"kind": "self-hosted"},
            "graphs": list(services.graphs.ids),
        }
    )
