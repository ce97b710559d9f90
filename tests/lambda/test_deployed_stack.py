"""The template, deployed by `sam deploy` into an emulator of AWS: requests through its gateway, runs in its functions.

| the emulator                                             | so                                                       |
|----------------------------------------------------------|----------------------------------------------------------|
| brings no SAM transform                                  | it is lent the one of .venv-sam                          |
| passes over `x-amazon-apigateway-any-method` of OpenAPI  | those methods are added after the deployment             |
| has functions that do not know where it is               | AWS_ENDPOINT_URL is set after the deployment             |
| has a TTL that tells the table's stream nothing          | a request deletes the expiry, and `userIdentity`, which  |
|                                                          | DynamoDB sets for its TTL alone, is taken off the filter |

All else is as CloudFormation was told.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from handler.embedded import embedded_engine
from handler.storage.keys import EXPIRY_PREFIX
from tests.engines import ENVIRONMENT
from tests.rie import ROOT
from tests.template import load_template, resources

SERVICES = "apigateway,cloudformation,cloudwatch,dynamodb,iam,lambda,logs,s3,scheduler,sqs,sts"
STACK = "deployed"
MONITORING = ROOT / "infra" / "monitoring.yaml"
TOPIC = "arn:aws:sns:us-east-1:000000000000:alarms"
PARAMETERS = ("Auth=none", "AccessLogs=false", f"AlarmTopicArn={TOPIC}")


@dataclass(frozen=True)
class Deployed:
    """A deployed stack."""

    endpoint_url: str
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        """A client of the emulator."""
        return boto3.client(service, endpoint_url=self.endpoint_url, region_name="us-east-1", **CREDENTIALS)  # type: ignore[call-overload]


CREDENTIALS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


def deploy(endpoint_url: str, built: Path, home: Path) -> None:
    """`sam deploy` of what was built for this machine."""
    command = [str(ROOT / ".venv-sam" / "bin" / "sam"), "deploy", "--template", str(built / "template.yaml")]
    command += ["--stack-name", STACK, "--s3-bucket", "artefacts", "--no-confirm-changeset"]
    command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--parameter-overrides", *PARAMETERS]
    environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint_url, "SAM_CLI_TELEMETRY": "0", "HOME": str(home)}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def make_up_for_the_emulator(stack: Deployed) -> str:
    """Add what its import passed over, tell functions where AWS is; the API's id."""
    gateway, functions = stack.client("apigateway"), stack.client("lambda")
    for function in functions.list_functions()["Functions"]:
        variables = {**function["Environment"]["Variables"], "AWS_ENDPOINT_URL": stack.endpoint_url}
        functions.update_function_configuration(
            FunctionName=function["FunctionName"], Environment={"Variables": variables}
        )
    (api_function,) = [f for f in functions.list_functions()["Functions"] if f["Handler"] == "handler.main.handler"]
    (api,) = gateway.get_rest_apis()["items"]
    path = f"2015-03-31/functions/{api_function['FunctionArn']}/invocations"
    for resource in gateway.get_resources(restApiId=api["id"])["items"]:
        place = {"restApiId": api["id"], "resourceId": resource["id"], "httpMethod": "ANY"}
        gateway.put_method(**place, authorizationType="NONE")
        uri = f"arn:aws:apigateway:us-east-1:lambda:path/{path}"
        gateway.put_integration(**place, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=api["id"], stageName="prod")
    api_id: str = api["id"]
    return api_id


def lend_the_transform(folder: Path) -> None:
    """Link SAM's translator, whose pins agree with nobody else's, into a folder of its own."""
    (translator,) = (ROOT / ".venv-sam").glob("lib/python*/site-packages/samtranslator")
    (folder / "samtranslator").symlink_to(translator)


@pytest.fixture(scope="module")
def stack(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The stack, deployed."""
    lend_the_transform(lent := tmp_path_factory.mktemp("lent"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "LAMBDA_EXECUTOR", "local")
        patch.setitem(os.environ, "PYTHONPATH", str(lent))
        with embedded_engine(services=SERVICES) as endpoint_url:
            before = Deployed(endpoint_url, {})
            before.client("s3").create_bucket(Bucket="artefacts")
            deploy(endpoint_url, artefact.parent, tmp_path_factory.mktemp("home"))
            (described,) = before.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
            yield Deployed(endpoint_url, {o["OutputKey"]: o["OutputValue"] for o in described["Outputs"]})


@pytest.fixture(scope="module")
def client(stack: Deployed) -> Iterator[httpx.Client]:
    """A client of the stack's API, by the name that the gateway answers to."""
    api_id = make_up_for_the_emulator(stack)
    host = f"{api_id}.execute-api.{stack.endpoint_url.removeprefix('http://')}"
    base_url = f"{stack.endpoint_url}/prod"
    with httpx.Client(base_url=base_url, headers={"host": host}, timeout=60, trust_env=False) as client:
        yield client


def logged(stack: Deployed, function: str) -> list[str]:
    """The lines of a function's log."""
    logs, group = stack.client("logs"), f"/aws/lambda/{STACK}-{function}"
    return [
        event["message"]
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    ]


def said(text: str) -> dict[str, Any]:
    """A body that says something to the example agent."""
    messages = [{"role": "user", "content": text}]
    return {"assistant_id": "agent", "input": {"messages": messages}, "if_not_exists": "create"}


@pytest.mark.slow
def test_the_stack_has_what_the_template_declares(stack: Deployed) -> None:
    table = stack.client("dynamodb").describe_table(TableName=stack.outputs["TableName"])["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    functions = stack.client("lambda").list_functions()["Functions"]
    assert sorted(function["Handler"] for function in functions) == ["handler.main.handler", "handler.worker.handler"]
    (api,) = stack.client("apigateway").get_rest_apis()["items"]
    stages = stack.client("apigateway").get_stages(restApiId=api["id"])["item"]
    assert [stage["stageName"] for stage in stages] == ["prod"]


@pytest.mark.slow
def test_the_nested_stack_watches_what_the_outer_one_made(stack: Deployed) -> None:
    watching = stack.client("cloudwatch")
    alarms = {alarm["AlarmName"]: alarm for alarm in watching.describe_alarms()["MetricAlarms"]}
    assert alarms.keys() == {
        f"{STACK}-{name.removesuffix('Alarm')}"
        for name, alarm in resources("AWS::CloudWatch::Alarm", load_template(MONITORING)).items()
        if "Condition" not in alarm
    }
    assert {action for alarm in alarms.values() for action in alarm["AlarmActions"]} == {TOPIC}
    names = {one["Value"] for alarm in alarms.values() for one in alarm["Dimensions"]}
    queues = {stack.outputs[name].rpartition("/")[2] for name in ("QueueUrl", "DeadLetterQueueUrl")}
    functions = {function["FunctionName"] for function in stack.client("lambda").list_functions()["Functions"]}
    groups = {group["Name"] for group in stack.client("scheduler").list_schedule_groups()["ScheduleGroups"]} - {
        "default"
    }
    assert names == queues | functions | groups | {stack.outputs["TableName"], STACK, "prod"}
    board = json.loads(watching.get_dashboard(DashboardName=STACK)["DashboardBody"])
    assert "${" not in str(board), "everything is filled in"


@pytest.mark.slow
def test_a_wait_goes_through_gateway_function_and_table(client: httpx.Client) -> None:
    path = f"/threads/{uuid.uuid4()}/runs/wait"
    for count in (4, 8):
        answer = client.post(path, json=said("What is the weather in Oslo?"))
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["messages"]) == count


@pytest.mark.slow
def test_a_background_run_is_driven_by_the_worker_in_the_name_of_its_request(
    client: httpx.Client, stack: Deployed
) -> None:
    path = f"/threads/{uuid.uuid4()}/runs"
    started = client.post(path, json=said("hello"))
    run_id = started.json()["run_id"]
    deadline = time.monotonic() + 60
    while (status := client.get(f"{path}/{run_id}").json()["status"]) in ("pending", "running"):
        assert time.monotonic() < deadline, status
        time.sleep(0.5)
    assert status == "success"
    worker = [line for line in logged(stack, "worker") if run_id in line and "run ended" in line]
    assert len(worker) == 1
    correlation = worker[0].split('"correlation_id": "')[1].split('"')[0]
    assert any(correlation in line and "POST /threads/{thread_id}/runs" in line for line in logged(stack, "api"))


@pytest.mark.slow
def test_a_cron_that_is_far_ahead_is_a_schedule_of_the_stacks_group(client: httpx.Client, stack: Deployed) -> None:
    thread_id = client.post("/threads", json={}).json()["thread_id"]
    body = {"assistant_id": "agent", "schedule": "0 0 1 1 *", "timezone": "Europe/Oslo"}
    created = client.post(f"/threads/{thread_id}/runs/crons", json=body)
    assert created.status_code == 200, created.text
    (schedule,) = stack.client("scheduler").list_schedules()["Schedules"]
    assert schedule["Name"] == f"cron-{created.json()['cron_id']}"
    assert schedule["GroupName"] != "default"
    assert stack.outputs["QueueUrl"].rpartition("/")[2] in schedule["Target"]["Arn"]
    assert client.delete(f"/threads/{thread_id}").status_code == 204
    assert client.get(f"/runs/crons/{created.json()['cron_id']}").status_code == 404


@pytest.mark.slow
def test_a_cron_of_each_second_is_fired_by_the_worker(client: httpx.Client) -> None:
    thread_id = client.post("/threads", json={}).json()["thread_id"]
    messages = [{"role": "user", "content": "hello"}]
    body = {"assistant_id": "agent", "schedule": "* * * * * */5", "input": {"messages": messages}}
    cron_id = client.post(f"/threads/{thread_id}/runs/crons", json=body).json()["cron_id"]
    deadline = time.monotonic() + 60
    ended: list[str] = []
    while len(ended) < 2 and time.monotonic() < deadline:
        time.sleep(1)
        ended = [run["status"] for run in client.get(f"/threads/{thread_id}/runs").json() if run["status"] == "success"]
    assert client.delete(f"/runs/crons/{cron_id}").status_code == 204
    assert len(ended) >= 2


@pytest.mark.slow
def test_an_expiry_that_is_deleted_has_the_worker_delete_its_thread(client: httpx.Client, stack: Deployed) -> None:
    forget_who_deletes(stack)
    due, kept = (client.post("/threads", json={"ttl": {"ttl": ttl}}).json()["thread_id"] for ttl in (0.001, 60))
    time.sleep(0.1)  # it is due after 60 ms
    assert client.get(f"/threads/{due}").status_code == 404, "it is gone at once, whatever is stored"
    assert stored(stack, due) == {"THREAD", "expiry"}
    for key in [key for key in keys(stack) if key["PK"]["S"].startswith(EXPIRY_PREFIX)]:
        stack.client("dynamodb").delete_item(TableName=stack.outputs["TableName"], Key=key)
    deadline = time.monotonic() + 60
    while stored(stack, due) or stored(stack, kept) != {"THREAD", "expiry"}:
        assert time.monotonic() < deadline, (stored(stack, due), stored(stack, kept))
        time.sleep(0.5)
    assert client.get(f"/threads/{kept}").status_code == 200
    assert not [line for line in logged(stack, "worker") if "expiry failed" in line], "of other items it is not told"


def forget_who_deletes(stack: Deployed) -> None:
    """Have the worker told of every expiry that is deleted, whoever deletes it."""
    functions = stack.client("lambda")
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    (mapping,) = [mapping for mapping in mappings if "/stream/" in mapping["EventSourceArn"]]
    (pattern,) = (json.loads(each["Pattern"]) for each in mapping["FilterCriteria"]["Filters"])
    assert pattern.pop("userIdentity") == {"principalId": ["dynamodb.amazonaws.com"]}
    # Those that are written are not deleted: DynamoDB's TTL does nothing else.
    filters = {"Filters": [{"Pattern": json.dumps({**pattern, "eventName": ["REMOVE"]})}]}
    functions.update_event_source_mapping(UUID=mapping["UUID"], FilterCriteria=filters)


def keys(stack: Deployed) -> list[dict[str, Any]]:
    """The keys of all that is in the table."""
    items = stack.client("dynamodb").scan(TableName=stack.outputs["TableName"])["Items"]
    return [{name: item[name] for name in ("PK", "SK")} for item in items]


def stored(stack: Deployed, thread_id: str) -> set[str]:
    """What the table holds of a thread: the sort keys in its partition, and whether it has an expiry."""
    found = keys(stack)
    expiries = {"expiry" for key in found if key["PK"]["S"].startswith(EXPIRY_PREFIX) and thread_id in key["SK"]["S"]}
    return expiries | {key["SK"]["S"] for key in found if thread_id in key["PK"]["S"]}
