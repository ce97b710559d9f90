"""`sam local` understands the template, and `make local` puts around it what a stack has; none of it takes Docker."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from handler.bootstrap import create_queue
from handler.embedded import free_port
from infra.local.__main__ import SamLocal, attend, environment
from tests.engines import Engine
from tests.infra.test_parameters import SENSE
from tests.template import TEMPLATE, load_template

ROOT = TEMPLATE.parent
ENV = ROOT / "infra" / "local" / "env.json"

READ = """
import json, sys
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

stacks, _ = SamLocalStackProvider.get_stacks(sys.argv[1], parameter_overrides=json.loads(sys.argv[2]))
routes = {route.path: [route.function_name, sorted(route.methods)] for route in ApiProvider(stacks).api.routes}
functions = {
    each.name: {"architectures": each.architectures, "variables": each.environment["Variables"]}
    for each in SamFunctionProvider(stacks).get_all()
}
print(json.dumps({"routes": routes, "functions": functions}))
"""
"""What `sam local` reads of a template before it starts a container, by its own parser."""

FAKE_SAM = """#!{python}
import json, pathlib, sys, time
import boto3

event = pathlib.Path(__file__).parent / "event"
if sys.argv[2] == "start-api":
    variables = json.loads(pathlib.Path(sys.argv[sys.argv.index("--env-vars") + 1]).read_text())["Parameters"]
    endpoint = {{"endpoint_url": variables["AWS_ENDPOINT_URL"]}}
    boto3.client("dynamodb", **endpoint).describe_table(TableName=variables["TABLE_NAME"])
    boto3.client("sqs", **endpoint).send_message(QueueUrl=variables["QUEUE_URL"], MessageBody="look")
    for _ in range(200):
        time.sleep(0.1)
        if event.exists():
            sys.exit(3)
    sys.exit("nobody was told")
written = event.with_suffix(".part")
written.write_text(sys.stdin.read())
written.rename(event)
print("START")
print('{{"batchItemFailures": []}}')
"""
"""The functions in `sam`'s place: the API sends a message and ends with 3 once the worker has got it."""


def read(**parameters: Any) -> dict[str, Any]:
    """What `sam local` makes of the template with these parameters."""
    overrides = json.dumps({name: str(value) for name, value in parameters.items()})
    command = [str(ROOT / ".venv-sam" / "bin" / "python"), "-c", READ, str(TEMPLATE), overrides]
    told = {"PATH": "/usr/bin:/bin", "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    answer = subprocess.run(command, env=told, check=False, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    read: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return read


@pytest.mark.parametrize("given", [given for given in SENSE if "Auth" in given or not given], ids=str)
def test_sam_local_routes_everything_to_the_api_function_whoever_may_call(given: dict[str, Any]) -> None:
    routes = read(**given)["routes"]
    methods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    assert routes == {"/": ["ApiFunction", methods], "/{proxy+}": ["ApiFunction", methods]}


@pytest.mark.parametrize("processor", ["arm64", "x86_64"])
def test_sam_local_runs_the_functions_on_the_processor_that_they_are_built_for(processor: str) -> None:
    functions = read(Architecture=processor)["functions"]
    assert functions.keys() >= {"ApiFunction", "WorkerFunction"}
    assert {tuple(each["architectures"]) for each in functions.values()} == {(processor,)}


def test_nothing_local_names_a_resource_that_only_aws_has() -> None:
    given = json.loads(ENV.read_text())["Parameters"]
    for name, function in read()["functions"].items():
        # `sam local` sets only what the template declares, and gives a resource its logical name for its address.
        assert given.keys() <= function["variables"].keys(), name
        seen = {**function["variables"], **given}
        unresolved = {name for name, value in seen.items() if value in load_template()["Resources"]}
        assert unresolved == set(), name


def test_the_containers_run_the_engines_credentials_and_never_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("SAM_SKIP_PULL_IMAGE", "1")
    told = environment()
    assert "AWS_PROFILE" not in told
    assert told["AWS_SECRET_ACCESS_KEY"] == "local"
    assert told["SAM_SKIP_PULL_IMAGE"] == "1"


@pytest.mark.parametrize(
    ("answer", "left"),
    [({"batchItemFailures": []}, 0), ({"batchItemFailures": [{"itemIdentifier": "1"}]}, 1), (None, 1)],
    ids=["attended", "failed", "died"],
)
def test_a_message_is_taken_off_the_queue_only_if_the_worker_attended_to_it(
    engine: Engine, answer: Any, left: int
) -> None:
    queue = engine.sqs()
    seen: list[str] = []
    url = create_queue(queue, f"local-{uuid.uuid4().hex[:12]}")
    queue.send_message(QueueUrl=url, MessageBody="look")

    def work(event: str) -> Any:
        seen.extend(record["body"] for record in json.loads(event)["Records"])
        return answer

    attend(queue, url, work, wait_s=0)
    attend(queue, url, work, wait_s=0)  # out of sight until its visibility timeout is over
    assert seen == ["look"]
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert sum(int(count) for count in counts.values()) == left


def test_a_worker_that_exits_with_an_error_has_not_answered(tmp_path: Path) -> None:
    sam = tmp_path / "sam"
    sam.write_text("#!/bin/sh\necho '{\"batchItemFailures\": []}'\nexit 1\n")
    sam.chmod(0o755)
    assert SamLocal(sam, "arm64", TEMPLATE, ENV).work("{}") is None


def test_the_api_finds_table_and_queue_and_the_worker_gets_its_messages(tmp_path: Path) -> None:
    sam = tmp_path / "sam"
    sam.write_text(FAKE_SAM.format(python=sys.executable))
    sam.chmod(0o755)
    shipped = ENV.read_text()
    assert shipped.count("host.docker.internal:4566") == 2
    env_vars = tmp_path / "env.json"
    env_vars.write_text(shipped.replace("host.docker.internal:4566", f"127.0.0.1:{free_port()}"))
    command = [sys.executable, "-m", "infra.local", "--sam", str(sam), "--architecture", "arm64"]
    command += ["--template", str(TEMPLATE), "--env-vars", str(env_vars)]
    command += ["serve", "--engine-host", "127.0.0.1", "--workers", "1"]
    served = subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=False, timeout=120)
    assert served.returncode == 3
    (record,) = json.loads((tmp_path / "event").read_text())["Records"]
    assert (record["eventSource"], record["body"]) == ("aws:sqs", "look")
