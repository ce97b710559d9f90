"""template.yaml agrees with the code, grants no more than the code needs, and protects the data."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handler.settings import Settings
from handler.storage.keys import EXPIRY_PREFIX
from handler.storage.schema import EXPIRES_AT, TABLE
from infra.build import LAMBDA_PYTHON, Target
from tests.infra.actions import HANDLER, indexes_queried, methods_called, queue_actions, schedule_actions, table_actions
from tests.template import TEMPLATE, load_template, resources, table_definition

ROOT = TEMPLATE.parent
SAM = ROOT / ".venv-sam" / "bin"

TAKEN_BY_LAMBDA = {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
"""What Lambda does to a queue in the name of the function that it wakes."""
STREAM_ACTIONS = {f"dynamodb:{name}" for name in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")}
"""What Lambda does to the table's stream in the name of the function that it tells of expiries."""
LOG_ACTIONS = {"logs:CreateLogStream", "logs:PutLogEvents"}
KEY_ACTIONS = {"kms:Decrypt", "kms:GenerateDataKey"}
"""What DynamoDB and SQS need of whoever reads and writes what a key of the customer's encrypts."""

OF_AWS = {
    "AWSLambdaENIManagementAccess": "InVpc",
    "AmazonAPIGatewayPushToCloudWatchLogs": "WithAccountLogRole",
}
"""AWS's own policies and under which condition a role has one: their actions know no resource to be narrowed to."""


SCHEDULES = "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule/${ScheduleGroup}/*"
"""The schedules of this stack's group; their names are the runs' and crons' ids, so no list of them can be written."""


def as_list(value: Any) -> list[Any]:
    """A policy's scalar or list, as a list."""
    return value if isinstance(value, list) else [value]


def statements() -> Iterator[dict[str, Any]]:
    """Every statement of every identity policy."""
    for policy in resources("AWS::IAM::ManagedPolicy").values():
        yield from policy["Properties"]["PolicyDocument"]["Statement"]
    for role in resources("AWS::IAM::Role").values():
        for policy in role["Properties"].get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]


def role_statements(role: str) -> list[dict[str, Any]]:
    """The statements of a role's own policies."""
    policies = resources("AWS::IAM::Role")[role]["Properties"].get("Policies", [])
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def functions_as_written() -> dict[str, dict[str, Any]]:
    """The functions, without the globals."""
    return resources("AWS::Serverless::Function")


def functions() -> dict[str, dict[str, Any]]:
    """Each function's properties over the globals."""
    shared = load_template()["Globals"]["Function"]
    return {name: {**shared, **each["Properties"]} for name, each in functions_as_written().items()}


def allowed_actions(prefix: str) -> set[str]:
    """The actions of one service that any policy allows."""
    actions = {action for statement in statements() for action in as_list(statement["Action"])}
    return {action for action in actions if action.startswith(prefix)}


def test_the_policies_allow_on_the_table_what_the_code_does_and_nothing_more() -> None:
    taken = {f"dynamodb:{action}" for action in table_actions()} - {"dynamodb:Scan"}
    assert len(taken) > 3
    assert allowed_actions("dynamodb:") == taken | STREAM_ACTIONS
    readers = [role for role in resources("AWS::IAM::Role") if "dynamodb:GetRecords" in str(role_statements(role))]
    assert readers == ["WorkerFunctionRole"]


def test_no_function_scans_and_none_may() -> None:
    # A saver can (LangGraph's contract has delete_for_runs, and a list of everything); the service asks for neither.
    assert table_actions()["Scan"] == {"storage/checkpointer/maintenance.py"}
    for name in ("delete_for_runs", "adelete_for_runs", "tenant_threads", "run_logs"):
        assert {path for path in methods_called(name) if not path.startswith("storage/checkpointer/")} == set()
    assert "scans=" not in (HANDLER / "bootstrap.py").read_text()
    assert "dynamodb:Scan" not in allowed_actions("dynamodb:")


def test_the_policies_allow_on_the_queue_what_the_code_and_lambda_do_and_nothing_more() -> None:
    taken = {f"sqs:{action}" for action in queue_actions()}
    assert taken
    assert allowed_actions("sqs:") == taken | TAKEN_BY_LAMBDA
    receivers = [role for role in resources("AWS::IAM::Role") if "sqs:ReceiveMessage" in str(role_statements(role))]
    assert receivers == ["WorkerFunctionRole"]


def test_the_policies_allow_on_schedules_what_the_code_does_within_one_group_and_nothing_more() -> None:
    assert len(schedule_actions()) == 3
    (statement,) = (one for one in statements() if "scheduler:" in str(one["Action"]))
    assert set(statement["Action"]) == {f"scheduler:{action}" for action in schedule_actions()}
    assert statement["Resource"] == {"Fn::Sub": SCHEDULES}


def test_only_scheduler_is_handed_a_role_and_only_the_one_that_sends_to_the_queue() -> None:
    (statement,) = (one for one in statements() if "iam:" in str(one["Action"]))
    assert (statement["Action"], statement["Resource"]) == ("iam:PassRole", {"Fn::GetAtt": ["SchedulerRole", "Arn"]})
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    (trust,) = resources("AWS::IAM::Role")["SchedulerRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"]["aws:SourceArn"] == {"Fn::GetAtt": ["ScheduleGroup", "Arn"]}
    (sends,) = role_statements("SchedulerRole")
    both = [{"Fn::GetAtt": [queue, "Arn"]} for queue in ("Queue", "DeadLetterQueue")]
    assert (sends["Action"], sends["Resource"]) == ("sqs:SendMessage", both)
    for variables in environments().values():
        assert [variables["QUEUE_ARN"], variables["DEAD_LETTER_QUEUE_ARN"]] == both


def test_the_policies_allow_nothing_else() -> None:
    known = allowed_actions("dynamodb:") | allowed_actions("sqs:") | allowed_actions("scheduler:")
    assert allowed_actions("") - known == LOG_ACTIONS | KEY_ACTIONS | {"iam:PassRole"}


def test_an_index_may_be_queried_exactly_if_the_code_queries_one() -> None:
    queried = [s for s in statements() if "index" in str(s["Resource"])]
    assert bool(queried) == bool(indexes_queried()), f"indexes are queried in {indexes_queried()}"
    for statement in queried:
        (index,) = TABLE["GlobalSecondaryIndexes"]
        assert as_list(statement["Action"]) == ["dynamodb:Query"]
        assert statement["Resource"] == {"Fn::Sub": "${Table.Arn}/index/" + index["IndexName"]}


def test_no_statement_has_a_wildcard() -> None:
    for statement in statements():
        assert statement["Effect"] == "Allow"
        resource = "" if statement["Resource"] == {"Fn::Sub": SCHEDULES} else str(statement["Resource"])
        assert "*" not in str(statement["Action"]) + resource, statement
        assert not statement.keys() & {"NotAction", "NotResource"}


def test_each_function_has_a_role_of_its_own() -> None:
    roles = [properties["Role"]["Fn::GetAtt"][0] for properties in functions().values()]
    assert len(set(roles)) == len(roles) == 3
    for name, properties in functions().items():
        role = resources("AWS::IAM::Role")[properties["Role"]["Fn::GetAtt"][0]]
        assert role.get("Condition") == resources("AWS::Serverless::Function")[name].get("Condition")


def test_policies_from_elsewhere_are_few_and_conditional() -> None:
    ours = resources("AWS::IAM::ManagedPolicy")
    for role in resources("AWS::IAM::Role").values():
        for attached in role["Properties"].get("ManagedPolicyArns", []):
            condition, policy = role.get("Condition"), attached
            if "Fn::If" in attached:
                condition, policy, otherwise = attached["Fn::If"]
                assert otherwise == {"Ref": "AWS::NoValue"}
            if "Ref" in policy:
                assert ours[policy["Ref"]].get("Condition") in (None, condition)
            else:
                assert OF_AWS[policy["Fn::Sub"].rpartition("/")[2]] == condition


def test_the_table_outlives_the_stack_and_can_be_restored() -> None:
    (table,) = resources("AWS::DynamoDB::Table").values()
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["SSESpecification"]["SSEEnabled"] is True
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": EXPIRES_AT, "Enabled": True}


def test_the_template_declares_the_table_that_the_code_declares() -> None:
    assert table_definition() == TABLE


def test_dead_letters_are_kept_and_the_queue_outwaits_the_longest_invocation() -> None:
    queues = resources("AWS::SQS::Queue")
    dead_letters = queues["Queue"]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert queues[dead_letters]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert {properties["Timeout"]["Ref"] for properties in functions().values()} == {"FunctionTimeoutSeconds"}
    longest = load_template()["Parameters"]["FunctionTimeoutSeconds"]["MaxValue"]
    assert queues["Queue"]["Properties"]["VisibilityTimeout"] >= longest


def test_the_worker_takes_one_message_at_a_time_and_may_wake_itself() -> None:
    worker = functions()["WorkerFunction"]
    source = worker["Events"]["Wake"]
    assert source["Properties"]["BatchSize"] == 1
    assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["Properties"]["Queue"] == {"Fn::GetAtt": ["Queue", "Arn"]}
    assert worker["RecursiveLoop"] == "Allow"


def test_the_worker_is_told_of_expiries_that_dynamodb_deletes_and_of_nothing_else() -> None:
    source = functions()["WorkerFunction"]["Events"]["Expiry"]
    assert source["Type"] == "DynamoDB"
    assert source["Properties"]["Stream"] == {"Fn::GetAtt": ["Table", "StreamArn"]}
    assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    (table,) = resources("AWS::DynamoDB::Table").values()
    assert table["Properties"]["StreamSpecification"] == {"StreamViewType": "KEYS_ONLY"}
    (pattern,) = source["Properties"]["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {
        "userIdentity": {"principalId": ["dynamodb.amazonaws.com"]},
        "dynamodb": {"Keys": {"PK": {"S": [{"prefix": EXPIRY_PREFIX}]}}},
    }


def environments() -> dict[str, dict[str, Any]]:
    """Each function's variables: the globals' and its own, as SAM merges them."""
    shared = load_template()["Globals"]["Function"]["Environment"]["Variables"]
    own = {name: each["Properties"].get("Environment", {}) for name, each in functions_as_written().items()}
    return {name: {**shared, **environment.get("Variables", {})} for name, environment in own.items()}


def test_every_setting_that_the_code_reads_is_set_and_nothing_else() -> None:
    for name, variables in environments().items():
        others = {variable for variable in variables if variable.startswith("AWS_")}
        assert variables.keys() - others == {field.upper() for field in Settings.model_fields}
        assert variables["AWS_ENDPOINT_URL"] == ""
        assert (others > {"AWS_ENDPOINT_URL"}) == (name == "StreamFunction")


def test_what_streams_keep_is_the_deployers_choice() -> None:
    for variables in environments().values():
        for name in ("StreamSliceSeconds", "StreamKeptSeconds", "StreamKeptBytes"):
            variable = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper()
            assert variables[variable] == {"Ref": name}
            default = load_template()["Parameters"][name]["Default"]
            assert default == Settings.model_fields[variable.lower()].default


def test_what_the_template_sets_by_default_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {name: parameter.get("Default") for name, parameter in load_template()["Parameters"].items()}
    for variables in environments().values():
        for name, value in variables.items():
            text = value if isinstance(value, str) else str(defaults.get(value.get("Ref"), "of-a-resource"))
            monkeypatch.setenv(name, text)
        settings = Settings()
        assert settings.langgraph_config == Path("project/langgraph.json")
        assert settings.strict_msgpack is True


def test_every_handler_exists() -> None:
    for name, properties in functions().items():
        if name == "StreamFunction":
            assert properties["Handler"] == "run.sh"
            script = ROOT / "infra" / "run.sh"
            assert script.stat().st_mode & 0o111
            assert " handler.stream:app " in script.read_text()
            assert "\napp = " in (ROOT / "handler" / "stream.py").read_text()
            continue
        module, _, attribute = properties["Handler"].rpartition(".")
        source = (ROOT / (module.replace(".", "/") + ".py")).read_text()
        assert f"\n{attribute} = " in source or f"\ndef {attribute}(" in source


def test_the_build_targets_the_runtime_and_the_processors_that_the_template_names() -> None:
    for properties in functions().values():
        assert properties["Runtime"] == f"python{LAMBDA_PYTHON}"
        assert properties["Architectures"] == [{"Ref": "Architecture"}]
    processor = load_template()["Parameters"]["Architecture"]
    assert processor["Default"] == Target.ARM64
    assert {Target(name) for name in processor["AllowedValues"]} == {each for each in Target if each.platforms()}
    for target, machine in (Target.ARM64, "_aarch64"), (Target.X86_64, "_x86_64"):
        assert all(platform.endswith(machine) for platform in target.platforms())


@pytest.mark.parametrize(
    "command",
    [("cfn-lint", "template.yaml", "infra/monitoring.yaml"), ("sam", "validate", "--lint")],
    ids=lambda c: c[0],
)
def test_the_linters_find_nothing(command: tuple[str, ...], tmp_path: Path) -> None:
    environment = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1", "HOME": str(tmp_path)}
    linted = subprocess.run(
        [SAM / command[0], *command[1:]],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
