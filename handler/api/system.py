"""/ok and /info."""

import uuid
from importlib.metadata import version

from fastapi import APIRouter, Request, Response

from handler import __version__
from handler.api.answers import json_answer
from handler.api.services import TheServices
from handler.api.threads import truthy

router = APIRouter(tags=["system"])
meta_router = APIRouter(tags=["meta"])


NO_THREAD = str(uuid.UUID(int=0))
"""The id of a thread that there is not, to see whether the table answers."""


@router.get("/ok")
async def ok(request: Request, services: TheServices) -> Response:
    """Whether the server answers; with `check_db`, whether its table does as well."""
    if truthy(request.query_params.get("check_db")):
        await services.offload(services.threads.get, services.settings.default_tenant, NO_THREAD)
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
