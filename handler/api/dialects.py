"""How a wait is answered whose window closes while its run goes on: what each client takes for "ask again over there".

| client                        | first answer                                        | at later polls        |
|-------------------------------|-----------------------------------------------------|-----------------------|
| any other (JS SDK, curl -L …) | 303 to an absolute …/join?r=1                       | the same              |
| langgraph-sdk-py from 0.4.10  | 200, that Location, a body that cannot be decoded   | 503 with Retry-After  |
| langgraph-sdk-py before       | 409 that names the run and its join URL             | the same              |

The Python SDK follows no redirect. It reconnects to Location when a body breaks off, and a body that says gzip and is
not breaks at its first byte, whatever a gateway does with it. The marker `r=1` tells its polls from a call of its own.
Never 202, which it takes for the result; never a bare 5xx or 429 to a POST, which the JS SDK would send again.
"""

import re

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from handler.api.answers import error_answer
from handler.api.gateway import url_of

RECONNECTING_SDK = (0, 4, 10)
"""The first version of the Python SDK that reconnects."""

UNDECODABLE = b"\x00the run goes on: see Location\n"
"""Not gzip, from its first byte."""

RETRY_AFTER_S = 1

SDK = re.compile(r"langgraph-sdk-py/(\d+)\.(\d+)\.(\d+)")


def sdk_version(user_agent: str) -> tuple[int, ...] | None:
    """The version of the Python SDK that calls; None for any other client."""
    found = SDK.search(user_agent)
    return tuple(int(part) for part in found.groups()) if found else None


def still_running(request: Request, run_id: str, join_path: str, headers: dict[str, str], *, python: bool) -> Response:
    """The answer when the window closes before the run ends; `python`: whether its SDK is answered in its dialect."""
    location = url_of(request, f"{join_path}?r=1")
    headers = {**headers, "Location": location}
    version = sdk_version(request.headers.get("user-agent", ""))
    if version is None:
        return RedirectResponse(location, 303, headers)
    if not python or version < RECONNECTING_SDK:
        return error_answer(409, f"Run {run_id} goes on; its result will be at {location}", headers)
    if request.query_params.get("r"):
        detail = f"Run {run_id} goes on"
        return error_answer(503, detail, {**headers, "Retry-After": str(RETRY_AFTER_S)})
    return Response(UNDECODABLE, 200, {**headers, "Content-Encoding": "gzip"}, media_type="application/json")
