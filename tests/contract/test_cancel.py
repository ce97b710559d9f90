"""Cancelling runs: what each form of it answers."""

import httpx

from tests.contract.calls import UNKNOWN, busy, last_run, read, until, wait


def test_a_cancel_is_accepted_at_once_and_has_no_body(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id, entries=40):
        run_id = last_run(api, thread_id)["run_id"]
        response = api.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
        assert (response.status_code, response.content) == (202, b"")
        until(lambda: bool(last_run(api, thread_id)["status"] == "interrupted"), "the run is interrupted")


def test_a_cancel_that_waits_names_the_run_that_it_stopped(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id, entries=40):
        run_id = last_run(api, thread_id)["run_id"]
        response = api.post(f"/threads/{thread_id}/runs/{run_id}/cancel", params={"wait": "true"})
        assert (response.status_code, response.json()) == (200, {})
        assert response.headers["content-location"] == f"/threads/{thread_id}/runs/{run_id}"
        assert last_run(api, thread_id)["status"] == "interrupted"


def test_a_run_that_ended_cannot_be_cancelled(api: httpx.Client, thread_id: str) -> None:
    wait(api, thread_id, input={"n": 1})
    run = last_run(api, thread_id)
    assert api.post(f"/threads/{thread_id}/runs/{run['run_id']}/cancel").status_code == 404
    assert read(api, f"/threads/{thread_id}/runs/{run['run_id']}") == run


def test_of_several_runs_none_begins_because_another_was_stopped_before_it(api: httpx.Client, thread_id: str) -> None:
    with busy(api, thread_id, entries=40):
        run_ids = [last_run(api, thread_id)["run_id"]]
        body = {"assistant_id": "log", "input": {"n": 1}}
        run_ids += [api.post(f"/threads/{thread_id}/runs", json=body).json()["run_id"] for _ in range(3)]
        assert api.post("/runs/cancel", json={"thread_id": thread_id, "run_ids": run_ids}).status_code == 204
        runs = [read(api, f"/threads/{thread_id}/runs/{run_id}") for run_id in run_ids]
    assert [(run["status"], run["attempt"]) for run in runs] == [("interrupted", 1)] + [("interrupted", 0)] * 3


def test_several_runs_are_named_by_uuids(api: httpx.Client) -> None:
    response = api.post("/runs/cancel", json={"thread_id": UNKNOWN, "run_ids": ["abc"]})
    assert (response.status_code, response.json()) == (422, {"detail": "Invalid run ID: must be a UUID"})
