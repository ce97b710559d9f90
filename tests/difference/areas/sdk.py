"""The Python SDK's client over both servers: what a program sees of them."""

from functools import partial
from typing import Any

from langgraph_sdk.client import SyncLangGraphClient

from tests.difference.scenario import Area
from tests.difference.session import UNKNOWN, Session

area = Area("sdk")

TWO_STEPS = {"steps": 2, "seconds": 0}


@area.scenario
def threads(s: Session) -> None:
    s.sdk("threads.create", lambda client: client.threads.create(thread_id=s.tag, metadata={"a": 1}))
    s.sdk("threads.get", lambda client: client.threads.get(s.tag))
    s.sdk("threads.update", lambda client: client.threads.update(s.tag, metadata={"b": 2}))
    s.sdk("threads.search", lambda client: client.threads.search(ids=[s.tag]))
    s.sdk("threads.count", lambda client: client.threads.count(metadata={"b": s.tag}))
    s.sdk("threads.copy", lambda client: client.threads.copy(s.tag))
    s.sdk("threads.delete", lambda client: client.threads.delete(s.tag))
    s.sdk("threads.get", lambda client: client.threads.get(s.tag))


@area.scenario
def state_and_history(s: Session) -> None:
    s.sdk("runs.wait", lambda client: client.runs.wait(s.thread, "long", input=TWO_STEPS))
    state = s.sdk("threads.get_state", lambda client: client.threads.get_state(s.thread))
    history = s.sdk("threads.get_history", lambda client: client.threads.get_history(s.thread, limit=3))
    s.sdk("threads.get_history", lambda client: client.threads.get_history(s.thread, before=history[1]["checkpoint"]))
    at = history[1]["checkpoint"]
    s.sdk("threads.get_state", lambda client: client.threads.get_state(s.thread, at))
    s.sdk("threads.get_state", lambda client: client.threads.get_state(s.thread, checkpoint_id=at["checkpoint_id"]))
    s.sdk("threads.update_state", lambda client: client.threads.update_state(s.thread, {"done": 7}))
    update = {"done": 0}
    s.sdk(
        "threads.update_state",
        lambda client: client.threads.update_state(s.thread, update, checkpoint=state["checkpoint"]),
    )


@area.scenario
def runs_in_the_background(s: Session) -> None:
    run = s.sdk("runs.create", lambda client: client.runs.create(s.thread, "long", input=TWO_STEPS))
    s.sdk("runs.join", lambda client: client.runs.join(s.thread, run["run_id"]))
    s.sdk("runs.get", lambda client: client.runs.get(s.thread, run["run_id"]))
    s.sdk("runs.list", lambda client: client.runs.list(s.thread, status="success", select=["run_id", "status"]))
    s.sdk("runs.delete", lambda client: client.runs.delete(s.thread, run["run_id"]))
    s.sdk("runs.get", lambda client: client.runs.get(s.thread, run["run_id"]))


@area.scenario
def runs_without_a_thread(s: Session) -> None:
    s.sdk("runs.wait", lambda client: client.runs.wait(None, "long", input=TWO_STEPS))
    s.sdk("runs.stream", lambda client: client.runs.stream(None, "long", input=TWO_STEPS, stream_mode="updates"))
    s.sdk("runs.create", lambda client: client.runs.create(None, "long", input=TWO_STEPS))
    payloads = [{"assistant_id": "long", "input": TWO_STEPS}]
    s.sdk("runs.create_batch", lambda client: client.runs.create_batch(payloads))  # type: ignore[arg-type]


@area.scenario
def run_that_fails(s: Session) -> None:
    s.sdk(
        "runs.wait", lambda client: client.runs.wait(s.thread, "fail", input={"kind": "ValueError"}, raise_error=False)
    )


@area.scenario
def cancel(s: Session) -> None:
    with s.busy(steps=40) as run:
        s.sdk("runs.cancel", lambda client: client.runs.cancel(s.thread, run, wait=True))
        s.sdk("runs.get", lambda client: client.runs.get(s.thread, run))
    s.sdk("runs.cancel", lambda client: client.runs.cancel(s.thread, UNKNOWN))


@area.scenario
def stream(s: Session) -> None:
    given: dict[str, Any] = {"messages": [{"role": "user", "content": "hi", "id": "m1"}]}
    for modes in (["values", "updates", "custom"], ["messages-tuple"]):
        s.sdk("runs.stream", partial(streamed, s.thread, given, modes))


def streamed(thread: str, given: dict[str, Any], modes: Any, client: SyncLangGraphClient) -> Any:
    """The parts of a stream."""
    return client.runs.stream(thread, "words", input=given, stream_mode=modes)


@area.scenario
def stream_that_is_joined(s: Session) -> None:
    run = s.started("long", TWO_STEPS)
    s.until_run(run, "success")
    s.sdk("runs.join_stream", lambda client: client.runs.join_stream(s.thread, run))


@area.scenario
def assistants(s: Session) -> None:
    made = s.sdk(
        "assistants.create", lambda client: client.assistants.create("custom", name=s.tag, context={"tone": "x"})
    )
    identity = made["assistant_id"]
    s.sdk("assistants.update", lambda client: client.assistants.update(identity, metadata={"a": 1}))
    s.sdk("assistants.get", lambda client: client.assistants.get(identity))
    s.sdk("assistants.search", lambda client: client.assistants.search(name=s.tag, response_format="object"))
    s.sdk("assistants.count", lambda client: client.assistants.count(name=s.tag))
    s.sdk("assistants.get_versions", lambda client: client.assistants.get_versions(identity))
    s.sdk("assistants.set_latest", lambda client: client.assistants.set_latest(identity, 1))
    s.sdk("assistants.get_graph", lambda client: client.assistants.get_graph(identity, xray=True))
    s.sdk("assistants.get_schemas", lambda client: client.assistants.get_schemas(identity))
    s.sdk("assistants.get_subgraphs", lambda client: client.assistants.get_subgraphs(identity))
    s.sdk("assistants.delete", lambda client: client.assistants.delete(identity))
    s.sdk("assistants.get", lambda client: client.assistants.get(identity))


@area.scenario
def store(s: Session) -> None:
    s.sdk("store.put_item", lambda client: client.store.put_item([s.tag, "a"], "k", {"n": 1}))
    s.sdk("store.get_item", lambda client: client.store.get_item([s.tag, "a"], "k"))
    s.sdk("store.search_items", lambda client: client.store.search_items([s.tag], filter={"n": 1}))
    s.sdk("store.list_namespaces", lambda client: client.store.list_namespaces(prefix=[s.tag]))
    s.sdk("store.delete_item", lambda client: client.store.delete_item([s.tag, "a"], "k"))
    s.sdk("store.get_item", lambda client: client.store.get_item([s.tag, "a"], "k"))


@area.scenario
def crons(s: Session) -> None:
    cron = s.sdk(
        "crons.create", lambda client: client.crons.create("long", schedule="0 0 1 1 *", metadata={"tag": s.tag})
    )
    identity = cron["cron_id"]
    s.sdk("crons.update", lambda client: client.crons.update(identity, enabled=False))
    s.sdk("crons.search", lambda client: client.crons.search(metadata={"tag": s.tag}))
    s.sdk("crons.count", lambda client: client.crons.count(metadata={"tag": s.tag}))
    s.sdk("crons.delete", lambda client: client.crons.delete(identity))
    s.sdk(
        "crons.create_for_thread", lambda client: client.crons.create_for_thread(s.thread, "long", schedule="0 0 1 1 *")
    )
