"""Each parameter does what it says, and combinations that make no sense are refused before anything is made."""

import re
from typing import Any

import pytest

from tests.infra.conditions import LAYER, refused, stack
from tests.template import load_template

POOL = "arn:aws:cognito-idp:eu-west-1:1:userpool/x"
JUDGE = "arn:aws:lambda:eu-west-1:1:function:judge"
KEY = "arn:aws:kms:eu-west-1:1:key/x"
CERTIFICATE = "arn:aws:acm:eu-west-1:1:certificate/x"
TOPIC = "arn:aws:sns:eu-west-1:1:alarms"

SENSE: list[dict[str, Any]] = [
    {},
    {"Auth": "iam"},
    {"Auth": "none"},
    {"Auth": "none", "CorsOrigins": "https://a.example"},
    {"Auth": "cognito", "UserPoolArn": POOL, "TenantClaim": "custom:tenant"},
    {"Auth": "authorizer", "AuthorizerFunctionArn": JUDGE, "TenantClaim": "tenant"},
    {"DomainName": "a.example", "CertificateArn": CERTIFICATE, "HostedZoneId": "Z1"},
    {"SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1"},
    {"MonthlyQuota": 1000, "WorkerConcurrency": 2, "ApiConcurrency": 1, "AlarmTopicArn": TOPIC},
]
NONSENSE: list[tuple[str, dict[str, Any]]] = [
    ("CognitoHasItsPool", {"Auth": "cognito"}),
    ("PoolIsForCognito", {"UserPoolArn": POOL}),
    ("AuthorizerHasItsFunction", {"Auth": "authorizer"}),
    ("FunctionIsForAuthorizer", {"Auth": "iam", "AuthorizerFunctionArn": JUDGE}),
    ("ClaimsComeFromTokens", {"TenantClaim": "tenant"}),
    ("OpenMeansNoPages", {"Auth": "none", "CorsOrigins": "*"}),
    ("QuotaCountsKeys", {"Auth": "iam", "MonthlyQuota": 1000}),
    ("DomainHasItsCertificate", {"DomainName": "a.example"}),
    ("CertificateIsForDomain", {"CertificateArn": CERTIFICATE}),
    ("ZoneIsForDomain", {"HostedZoneId": "Z1"}),
    ("SubnetsHaveGroups", {"SubnetIds": "subnet-1"}),
    ("GroupsHaveSubnets", {"SecurityGroupIds": "sg-1"}),
    ("OneWorkerIsTooFew", {"WorkerConcurrency": 1}),
    ("TopicIsForAlarms", {"Monitoring": "false", "AlarmTopicArn": TOPIC}),
]


def body(**given: Any) -> dict[str, Any]:
    """The OpenAPI document of a deployment."""
    document: dict[str, Any] = stack(**given)["Api"]["Properties"]["DefinitionBody"]
    return document


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations of a document, by path and method."""
    return {(path, method): each for path, item in document["paths"].items() for method, each in item.items()}


@pytest.mark.parametrize("given", SENSE, ids=str)
def test_what_makes_sense_is_not_refused(given: dict[str, Any]) -> None:
    assert refused(**given) == []


@pytest.mark.parametrize(("rule", "given"), NONSENSE, ids=[rule for rule, _ in NONSENSE])
def test_nonsense_is_refused_by_the_rule_that_names_it(rule: str, given: dict[str, Any]) -> None:
    assert refused(**given) == [rule]


def test_every_rule_has_a_case_and_every_parameter_a_use() -> None:
    template = load_template()
    assert {rule for rule, _ in NONSENSE} == template["Rules"].keys()
    rest = str({name: part for name, part in template.items() if name not in ("Parameters", "Rules")})
    assert {
        name for name in template["Parameters"] if f"'{name}'" not in rest and "${" + name + "}" not in rest
    } == set()


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, None),
        ({"Auth": "iam"}, "awsSigv4"),
        ({"Auth": "cognito", "UserPoolArn": POOL}, "cognito_user_pools"),
        ({"Auth": "authorizer", "AuthorizerFunctionArn": JUDGE}, "custom"),
    ],
    ids=["api-key", "iam", "cognito", "authorizer"],
)
def test_every_operation_but_a_preflight_asks_who_is_calling(given: dict[str, Any], kind: str | None) -> None:
    document = body(**given, CorsOrigins="https://a.example", WebAdapterLayerArn=LAYER)
    for (_path, method), operation in operations(document).items():
        assert operation.get("security") == (None if method == "options" else [{"Caller": []}])
    scheme = document["components"]["securitySchemes"]["Caller"]
    assert scheme.get("x-amazon-apigateway-authtype") == kind
    assert scheme["name"] == ("x-api-key" if kind is None else "Authorization")
    assert ("ApiKey" in stack(**given)) == (kind is None)


def test_only_the_one_who_asks_for_it_gets_an_open_api() -> None:
    assert load_template()["Parameters"]["Auth"]["Default"] == "api-key"
    document = body(Auth="none")
    assert "security" not in str(document["paths"])
    assert document["components"] == {}


def test_pages_are_let_in_only_where_origins_are_named() -> None:
    assert {method for _, method in operations(body(WebAdapterLayerArn=LAYER))} & {"options"} == set()
    document = body(CorsOrigins="https://a.example", WebAdapterLayerArn=LAYER)
    answered = {path for path, method in operations(document) if method == "options"}
    assert answered == document["paths"].keys() - {"/"}


def test_with_the_adapter_the_routes_that_wait_stream_and_all_others_stay() -> None:
    assert body()["paths"].keys() == {"/", "/{proxy+}"}
    assert "StreamFunction" not in stack()
    document = body(WebAdapterLayerArn=LAYER)
    assert "StreamFunction" in stack(WebAdapterLayerArn=LAYER)
    streamed = {
        f"{method} {path}"
        for (path, method), operation in operations(document).items()
        if operation["x-amazon-apigateway-integration"].get("responseTransferMode") == "STREAM"
    }
    assert streamed == {
        "post /runs/wait",
        "post /runs/stream",
        "post /threads/{thread_id}/runs/wait",
        "post /threads/{thread_id}/runs/stream",
        "get /threads/{thread_id}/runs/{run_id}/join",
        "get /threads/{thread_id}/runs/{run_id}/stream",
        "get /threads/{thread_id}/stream",
        "post /threads/{thread_id}/stream/events",
    }


def test_no_path_between_a_streamed_one_and_the_root_is_without_methods() -> None:
    # API Gateway answers 403 for a resource that is there and has no method, rather than ask {proxy+}.
    paths = body(WebAdapterLayerArn=LAYER)["paths"]
    for path in paths:
        parts = path.split("/")[1:]
        for length in range(1, len(parts)):
            above = "/" + "/".join(parts[:length])
            assert "x-amazon-apigateway-any-method" in paths[above]
            assert above + "/{rest+}" in paths or any(
                "{" in other.removeprefix(above + "/").split("/")[0] for other in paths if other.startswith(above + "/")
            )


def test_names_of_path_variables_agree_and_none_but_the_roots_is_called_proxy() -> None:
    # Two variables may not stand at one place, and the application takes `proxy` for its whole path.
    paths = body(WebAdapterLayerArn=LAYER)["paths"]
    variables: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")[1:]
        for place, part in enumerate(parts):
            if part.startswith("{"):
                variables.setdefault("/".join(parts[:place]), set()).add(part)
    assert variables.pop("") == {"{proxy+}"}
    assert all(len(names) == 1 and names != {"{proxy+}"} for names in variables.values())


def test_a_key_of_ones_own_encrypts_table_and_queues_and_may_be_used() -> None:
    resources = stack(KmsKeyArn=KEY)
    assert resources["Table"]["Properties"]["SSESpecification"]["KMSMasterKeyId"] == {"Ref": "KmsKeyArn"}
    for queue in ("Queue", "DeadLetterQueue"):
        assert resources[queue]["Properties"]["KmsMasterKeyId"] == {"Ref": "KmsKeyArn"}
        assert "SqsManagedSseEnabled" not in resources[queue]["Properties"]
        assert stack()[queue]["Properties"]["SqsManagedSseEnabled"] is True
    for role in ("ApiFunctionRole", "WorkerFunctionRole"):
        assert {"Ref": "KeyPolicy"} in resources[role]["Properties"]["ManagedPolicyArns"]
        assert {"Ref": "KeyPolicy"} not in stack()[role]["Properties"]["ManagedPolicyArns"]


def test_requests_are_throttled_logged_and_counted_by_key() -> None:
    resources = stack()
    (settings,) = resources["Api"]["Properties"]["MethodSettings"]
    assert settings["ThrottlingRateLimit"] == {"Ref": "ThrottlingRate"}
    assert resources["UsagePlan"]["Properties"]["Throttle"]["BurstLimit"] == {"Ref": "ThrottlingBurst"}
    assert "Quota" not in resources["UsagePlan"]["Properties"]
    assert stack(MonthlyQuota=10)["UsagePlan"]["Properties"]["Quota"]["Limit"] == {"Ref": "MonthlyQuota"}
    assert "$context.requestId" in resources["Api"]["Properties"]["AccessLogSetting"]["Format"]
    assert "AccessLogSetting" not in stack(AccessLogs="false")["Api"]["Properties"]
    assert "GatewayAccount" not in stack(AccessLogs="false")
    assert "GatewayAccount" not in stack(SetAccountLogRole="false")


def test_functions_are_bounded_and_in_a_network_only_where_asked() -> None:
    assert "ReservedConcurrentExecutions" not in stack()["ApiFunction"]["Properties"]
    bounded = stack(ApiConcurrency=5, WorkerConcurrency=7)
    assert bounded["ApiFunction"]["Properties"]["ReservedConcurrentExecutions"] == {"Ref": "ApiConcurrency"}
    wake = bounded["WorkerFunction"]["Properties"]["Events"]["Wake"]["Properties"]
    assert wake["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "WorkerConcurrency"}}
    assert "ScalingConfig" not in stack()["WorkerFunction"]["Properties"]["Events"]["Wake"]["Properties"]
    roles = stack(SubnetIds="subnet-1", SecurityGroupIds="sg-1")["ApiFunctionRole"]["Properties"]["ManagedPolicyArns"]
    assert any("ENIManagement" in str(policy) for policy in roles)


def test_a_domain_has_its_mapping_and_only_with_a_zone_its_record() -> None:
    resources = stack(DomainName="a.example", CertificateArn=CERTIFICATE)
    assert {"Domain", "DomainMapping"} <= resources.keys()
    # No base path: the routes' own paths are found in the event's, and nothing has to be taken off.
    assert "BasePath" not in resources["DomainMapping"]["Properties"]
    assert "DomainRecord" not in resources
    assert "DomainRecord" in stack(DomainName="a.example", CertificateArn=CERTIFICATE, HostedZoneId="Z1")


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        ("", True),
        ("0123456789abcdef", True),
        ("0123456789abcdef" * 2, True),
        ("{{resolve:secretsmanager:langgraph-lambda:SecretString:aes}}", True),
        ("too short", False),
        ("0123456789abcdef" * 3, False),
        ("{{resolve:ssm:aes}}", False),
    ],
)
def test_a_key_for_checkpoints_is_one_or_a_secret_that_holds_one(key: str, taken: bool) -> None:
    pattern = load_template()["Parameters"]["AesKey"]["AllowedPattern"]
    assert bool(re.search(pattern, key)) == taken
