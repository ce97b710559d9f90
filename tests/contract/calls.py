"""The calls that every contract test makes, and the ids that name nothing."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

Json = dict[str, Any]
Seen = Callable[[str], Json]
"""What a caller can read of a thread: `{"thread", "state", "runs"}`."""

UNKNOWN = "11111111-2222-4333-8444-555555555555"
"""A UUID that names nothing."""

LOG_ASSISTANT = str(uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "log"))
"""The id of the `log` graph's system assistant, as the reference server derives it."""

POLLS = 200
"""How often a test looks before it gives up."""


def wait(api: httpx.Client, thread_id: str, assistant_id: str = "log", **fields: Any) -> Json:
    """The result of a run on a thread, waited for."""
    response = api.post(f"/threads/{thread_id}/runs/wait", json={"assistant_id": assistant_id, **fields})
    assert response.status_code == 200, response.text
    result = response.json()
    assert isinstance(result, dict)
    return result


def read(api: httpx.Client, path: str) -> Any:
    """The JSON behind a path that has to be there."""
    response = api.get(path)
    assert response.status_code == 200, response.text
    return response.json()


def state_of(api: httpx.Client, thread_id: str) -> Json:
    """The latest state of a thread."""
    state: Json = read(api, f"/threads/{thread_id}/state")
    return state


def last_run(api: httpx.Client, thread_id: str) -> Json:
    """The run that was created last on a thread."""
    run: Json = read(api, f"/threads/{thread_id}/runs?limit=1")[0]
    return run


def until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again, a bounded number of times, until the condition holds."""
    for _ in range(POLLS):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


@contextmanager
def busy(api: httpx.Client, thread_id: str, entries: int = 4, **fields: Any) -> Iterator[Future[Json]]:
    """A thread on which a run of `log` is under way; the future is what its waiter gets."""
    given = {"name": "old", "n": entries, "seconds": 0.3}
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(wait, api, thread_id, input=given, **fields)
        until(lambda: bool(read(api, f"/threads/{thread_id}")["status"] == "busy"), "the thread is busy")
        yield future
        future.result(timeout=60)
