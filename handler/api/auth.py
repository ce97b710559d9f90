"""Who is calling: the one function that gives a request's tenant and user."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from handler.domain.models import Caller
from handler.settings import Settings


def caller_of(request: Request) -> Caller:
    """The caller as API Gateway's authoriser names them; without an authoriser, the default tenant.

    Where the settings name a claim for the tenant, a request without it is refused.
    """
    settings: Settings = request.app.state.services.settings
    claims = authorizer_claims(request.scope.get("aws.event"))
    user = next((str(claims[name]) for name in ("sub", "principalId", "user") if claims.get(name)), None)
    if not settings.tenant_claim:
        return Caller(tenant=settings.default_tenant, user=user)
    tenant = claims.get(settings.tenant_claim)
    if not isinstance(tenant, str) or not tenant:
        raise HTTPException(403, "Forbidden")
    return Caller(tenant=tenant, user=user)


def authorizer_claims(event: Mapping[str, Any] | None) -> dict[str, Any]:
    """What an authoriser said of the caller, in the shapes of REST and HTTP APIs, Lambda and JWT authorisers."""
    context = (event or {}).get("requestContext") or {}
    said = context.get("authorizer") or {}
    claims: dict[str, Any] = dict(said)
    for nested in (said.get("claims"), (said.get("jwt") or {}).get("claims"), said.get("lambda")):
        if isinstance(nested, Mapping):
            claims.update(nested)
    return claims


async def the_caller(request: Request) -> Caller:
    """The caller, worked out on the event loop: on a thread of its own it would take longer, and out of turn."""
    return caller_of(request)


TheCaller = Annotated[Caller, Depends(the_caller)]
"""A route's parameter: who is calling."""
