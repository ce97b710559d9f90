"""Who calls, as API Gateway says it in each of its shapes."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException, Request

from handler.api.auth import authorizer_claims, caller_of
from handler.domain.models import Caller
from handler.settings import Settings

REST_LAMBDA = {"principalId": "ada", "tenant": "acme", "integrationLatency": 5}
REST_COGNITO = {"claims": {"sub": "ada", "tenant": "acme", "email": "ada@example.com"}}
HTTP_JWT = {"jwt": {"claims": {"sub": "ada", "tenant": "acme"}, "scopes": None}}
HTTP_LAMBDA = {"lambda": {"user": "ada", "tenant": "acme"}}
SHAPES = [REST_LAMBDA, REST_COGNITO, HTTP_JWT, HTTP_LAMBDA]


def called(authorizer: Any, *, event: bool = True, **settings: Any) -> Caller:
    """The caller of a request that came with what an authoriser said."""
    services = SimpleNamespace(settings=Settings(**settings))
    scope: dict[str, Any] = {"type": "http", "headers": [], "app": SimpleNamespace(state=SimpleNamespace())}
    scope["app"].state.services = services
    if event:
        scope["aws.event"] = {"requestContext": {"authorizer": authorizer}}
    return caller_of(Request(scope))


@pytest.mark.parametrize("authorizer", SHAPES, ids=["rest lambda", "rest cognito", "http jwt", "http lambda"])
def test_tenant_and_user_are_found_in_every_shape(authorizer: Any) -> None:
    assert called(authorizer, tenant_claim="tenant") == Caller("acme", "ada")


@pytest.mark.parametrize("authorizer", SHAPES, ids=["rest lambda", "rest cognito", "http jwt", "http lambda"])
def test_without_a_tenant_claim_everyone_belongs_to_the_default_tenant(authorizer: Any) -> None:
    assert called(authorizer, tenant_claim="", default_tenant="all") == Caller("all", "ada")


@pytest.mark.parametrize(
    "authorizer",
    [
        None,
        {},
        {"principalId": "ada"},
        {"tenant": ""},
        {"tenant": None},
        {"tenant": 5},
        {"tenant": ["acme"]},
        {"claims": None},
        {"claims": "acme"},
        {"jwt": None},
        {"jwt": {}},
        {"jwt": {"claims": {"sub": "ada"}}},
        {"lambda": None},
        {"lambda": {"tenants": "acme"}},
        {"jwt": {"tenant": "acme"}},
    ],
)
def test_a_caller_without_the_claim_is_refused(authorizer: Any) -> None:
    with pytest.raises(HTTPException) as refused:
        called(authorizer, tenant_claim="tenant")
    assert (refused.value.status_code, refused.value.detail) == (403, "Forbidden")


def test_a_request_that_came_past_the_gateway_is_refused_where_a_claim_is_required() -> None:
    with pytest.raises(HTTPException):
        called(None, event=False, tenant_claim="tenant")
    assert called(None, event=False, default_tenant="me") == Caller("me", None)


def test_what_the_identity_provider_signed_stands_above_what_lies_beside_it() -> None:
    assert called({"tenant": "beside", **REST_COGNITO}, tenant_claim="tenant").tenant == "acme"


@pytest.mark.parametrize("event", [None, {}, {"requestContext": None}, {"requestContext": {"authorizer": None}}])
def test_an_event_without_an_authoriser_says_nothing(event: Any) -> None:
    assert authorizer_claims(event) == {}


def test_a_users_number_is_its_text() -> None:
    assert called({"lambda": {"sub": 5}}).user == "5"
