"""The smoke script through a gateway that buffers, in front of sandboxes of the artefact and a worker."""

from typing import Any

import pytest

from infra.smoke.__main__ import main
from infra.smoke.server import Pace
from tests.gateway import pumped
from tests.rie import sandbox

pytestmark = pytest.mark.slow  # windows are real time: seconds, for a machine that has its CPU to itself

GATEWAY_S = 3.5
GRACE_S = 3
PACE = Pace(outlasting_s=5, held_s=1.5, moment_s=1, gone_s=40, worker_s=60)


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect:UserWarning")
def test_every_capability_passes_through_a_gateway(stacks: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stacked = stacks.stack(members=4, timeout_s=GATEWAY_S, PRESENCE_GRACE_SECONDS=str(GRACE_S))
    with stacked as stack, sandbox(stacks.artefact, stack.environment, "handler.worker.handler", 60) as worker:
        with pumped(stacks.engine.sqs(), stack.queue_url, worker):
            failed = main([stack.gateway.url], PACE)
        stack.gateway.idle()
    printed = capsys.readouterr().out.splitlines()  # sandboxes write there as well
    lines = [line for line in printed if line.startswith(("pass", "FAIL", "n.a."))]
    inapplicable = {line.split()[1] for line in lines if line.startswith("n.a.")}
    assert failed == 0, lines
    assert inapplicable == {"live_events", "outlasts_the_function", "no_key_no_answer"}
