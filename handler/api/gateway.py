"""What API Gateway adds to a path, stage, base path and domain: taken off on the way in, put on again for URLs."""

import os
from collections.abc import Mapping
from typing import Any

from fastapi import Request

Event = Mapping[str, Any]

LONGEST_MS = 30_000
"""Longest time that a request is believed to have waited at the gateway, in milliseconds."""


def rooted(event: Event) -> dict[str, Any]:
    """The event with the path as the application's routes know it, without stage or base path."""
    path, prefix = split_path(event)
    if not prefix:
        return dict(event)
    context = dict(event.get("requestContext") or {})
    if event.get("version") == "2.0":
        context["http"] = {**context.get("http", {}), "path": path}
    return {**event, "path": path, "rawPath": path, "requestContext": context, "gateway_prefix": prefix}


def split_path(event: Event) -> tuple[str, str]:
    """The application's path, and what the client's path has before it: `/stage`, `/base` or nothing."""
    context = event.get("requestContext") or {}
    if event.get("version") == "2.0":
        whole = str((context.get("http") or {}).get("path") or event.get("rawPath") or "/")
        stage = context.get("stage") or "$default"
        prefix = f"/{stage}"
        if stage != "$default" and (whole == prefix or whole.startswith(f"{prefix}/")):
            return whole.removeprefix(prefix) or "/", prefix
        return whole, ""
    own = str(event.get("path") or "/")
    proxy = (event.get("pathParameters") or {}).get("proxy")
    path = f"/{proxy}" if proxy and own.endswith(f"/{proxy}") else own
    whole = str(context.get("path") or own)
    return path, whole.removesuffix(path) if whole.endswith(path) else ""


def spent_s(event: Event, now_ms: int) -> float:
    """How long the gateway has waited already, in seconds: for a cold start, or while requests queued."""
    if "AWS_SAM_LOCAL" in os.environ:  # which gives every request the moment at which it was started itself
        return 0.0
    context = event.get("requestContext") or {}
    began_ms = context.get("requestTimeEpoch") or context.get("timeEpoch") or now_ms
    waited_ms: int = now_ms - began_ms
    return waited_ms / 1000 if 0 <= waited_ms <= LONGEST_MS else 0.0  # beyond it, a clock is wrong


def url_of(request: Request, path: str) -> str:
    """The absolute URL of one of the service's paths, on the origin and below the prefix that the client used."""
    event: Event = request.scope.get("aws.event") or {}
    context = event.get("requestContext") or {}
    domain = context.get("domainName") or request.headers.get("host") or request.url.netloc
    scheme = request.headers.get("x-forwarded-proto") or ("https" if "domainName" in context else request.url.scheme)
    return f"{scheme}://{domain}{event.get('gateway_prefix', '')}{path}"
