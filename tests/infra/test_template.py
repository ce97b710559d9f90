"""template.yaml agrees with the code, grants no more than the code needs, and protects the data."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handler.settings import Settings
from handler.storage.schema import EXPIRES_AT, TABLE
from infra.build import LAMBDA_PLATFORMS, LAMBDA_PYTHON
from tests.template import TEMPLATE, load_template, resources, table_definition

ROOT = TEMPLATE.parent
SAM = ROOT / ".venv-sam" / "bin"

TABLE_ACTIONS = {
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
}
QUEUE_ACTIONS = {
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
}
LOG_ACTIONS = {"logs:CreateLogStream", "logs:PutLogEvents"}


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


def functions() -> dict[str, dict[str, Any]]:
    """Each function's properties over the globals."""
    shared = load_template()["Globals"]["Function"]
    return {name: {**shared, **each["Properties"]} for name, each in resources("AWS::Serverless::Function").items()}


def test_the_policies_allow_what_the_code_does_and_nothing_more() -> None:
    allowed = {action for statement in statements() for action in as_list(statement["Action"])}
    assert allowed == TABLE_ACTIONS | QUEUE_ACTIONS | LOG_ACTIONS


def test_no_statement_has_a_wildcard() -> None:
    for statement in statements():
        assert statement["Effect"] == "Allow"
        assert "*" not in str(statement["Action"]) + str(statement["Resource"]), statement
        assert not statement.keys() & {"NotAction", "NotResource"}


def test_each_function_has_a_role_of_its_own_without_policies_from_elsewhere() -> None:
    roles = [properties["Role"]["Fn::GetAtt"][0] for properties in functions().values()]
    assert len(set(roles)) == len(roles) >= 1
    ours = resources("AWS::IAM::ManagedPolicy")
    for role in roles:
        attached = resources("AWS::IAM::Role")[role]["Properties"].get("ManagedPolicyArns", [])
        assert {policy["Ref"] for policy in attached} <= ours.keys()


def test_the_table_outlives_the_stack_and_can_be_restored() -> None:
    (table,) = resources("AWS::DynamoDB::Table").values()
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": EXPIRES_AT, "Enabled": True}


def test_the_template_declares_the_table_that_the_code_declares() -> None:
    assert table_definition() == TABLE


def test_the_one_index_may_be_queried_by_name() -> None:
    (index,) = TABLE["GlobalSecondaryIndexes"]
    queried = [s["Resource"]["Fn::Sub"] for s in statements() if s["Action"] == "dynamodb:Query"]
    assert queried == ["${Table.Arn}/index/" + index["IndexName"]]


def test_dead_letters_are_kept_and_the_queue_outwaits_the_longest_invocation() -> None:
    queues = resources("AWS::SQS::Queue")
    dead_letters = queues["Queue"]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert queues[dead_letters]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600
    longest = max(properties["Timeout"] for properties in functions().values())
    assert queues["Queue"]["Properties"]["VisibilityTimeout"] >= longest


def test_the_worker_takes_one_message_at_a_time_and_may_wake_itself() -> None:
    worker = functions()["WorkerFunction"]
    (source,) = worker["Events"].values()
    assert source["Properties"]["BatchSize"] == 1
    assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["Properties"]["Queue"] == {"Fn::GetAtt": ["Queue", "Arn"]}
    assert worker["RecursiveLoop"] == "Allow"


def test_every_setting_that_the_code_reads_is_set_and_nothing_else() -> None:
    for properties in functions().values():
        assert properties["Environment"]["Variables"].keys() == {name.upper() for name in Settings.model_fields}


def test_the_code_knows_how_long_an_invocation_may_last() -> None:
    for properties in functions().values():
        assert properties["Environment"]["Variables"]["FUNCTION_TIMEOUT_SECONDS"] == str(properties["Timeout"])


def test_what_the_template_sets_by_default_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {name: parameter.get("Default") for name, parameter in load_template()["Parameters"].items()}
    for properties in functions().values():
        for name, value in properties["Environment"]["Variables"].items():
            text = value if isinstance(value, str) else str(defaults.get(value["Ref"], "of-a-resource"))
            monkeypatch.setenv(name, text)
        settings = Settings()
        assert settings.langgraph_config == Path("project/langgraph.json")
        assert settings.strict_msgpack is True


def test_every_handler_exists() -> None:
    for properties in functions().values():
        module, _, attribute = properties["Handler"].rpartition(".")
        source = (ROOT / (module.replace(".", "/") + ".py")).read_text()
        assert f"\n{attribute} = " in source or f"\ndef {attribute}(" in source


def test_the_build_targets_the_runtime_that_the_template_names() -> None:
    for properties in functions().values():
        assert properties["Runtime"] == f"python{LAMBDA_PYTHON}"
        assert properties["Architectures"] == ["arm64"]
    assert all(platform.endswith("_aarch64") for platform in LAMBDA_PLATFORMS)


def test_callers_need_an_api_key_unless_a_parameter_says_otherwise() -> None:
    template = load_template()
    assert template["Parameters"]["RequireApiKey"]["Default"] == "true"
    paths = template["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"]
    assert paths.keys() == {"/", "/{proxy+}"}
    for path in paths.values():
        security = path["x-amazon-apigateway-any-method"]["security"]
        assert security == {"Fn::If": ["WithApiKey", [{"ApiKey": []}], {"Ref": "AWS::NoValue"}]}


@pytest.mark.parametrize("command", [("cfn-lint", "template.yaml"), ("sam", "validate", "--lint")], ids=lambda c: c[0])
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
