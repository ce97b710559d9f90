"""The smoke script through a gateway that buffers, in front of sandboxes of the artefact and a worker."""

import asyncio
from typing import Any

import pytest

from infra.smoke import CAPABILITIES, no_key_no_answer, smoke
from tests.gateway import pumped
from tests.rie import sandbox

pytestmark = pytest.mark.slow  # windows are real time: seconds, for a machine that has its CPU to itself

PACE = 0.12
GATEWAY_S = 3.5
"""Shorter than the runs that are to outlast it: 40 s at this pace."""


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")
def test_every_capability_passes_through_a_gateway(stacks: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stacked = stacks.stack(members=4, timeout_s=GATEWAY_S, PRESENCE_GRACE_SECONDS="3")
    with stacked as stack, sandbox(stacks.artefact, stack.environment, "handler.worker.handler", 60) as worker:
        with pumped(stacks.engine.sqs(), stack.queue_url, worker):
            failed = asyncio.run(smoke(stack.gateway.url, None, [], PACE))
        stack.gateway.idle()
    printed = capsys.readouterr().out.splitlines()  # sandboxes write there as well
    lines = [line for line in printed if line.startswith(("pass", "FAIL", "n.a."))]
    expected = {each.__name__: "n.a." if each is no_key_no_answer else "pass" for each in CAPABILITIES}
    assert ({line.split()[1]: line.split()[0] for line in lines}, failed) == (expected, 0), lines
