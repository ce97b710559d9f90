"""Proxy events as API Gateway sends them, and its reading of what a function returns.

| builder      | API Gateway            | payload format                                                              |
|--------------|------------------------|-----------------------------------------------------------------------------|
| `rest_event` | REST API, Lambda proxy | 1.0: multi-value headers and query, the path without the stage              |
| `http_event` | HTTP API               | 2.0: joined lower-case headers, raw query, the path with a named stage      |
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

API_ID = "a1b2c3d4e5"
DOMAIN = f"{API_ID}.execute-api.us-east-1.amazonaws.com"
ACCOUNT = "123456789012"
SOURCE_IP = "203.0.113.10"
USER_AGENT = "langgraph-sdk-py/0.4.14"
MOMENT_MS = 1_760_000_000_000
REQUEST_TIME = "09/Oct/2025:08:53:20 +0000"

GATEWAY_HEADERS = {
    "Host": DOMAIN,
    "User-Agent": USER_AGENT,
    "X-Amzn-Trace-Id": "Root=1-68e778a0-0123456789abcdef01234567",
    "X-Forwarded-For": SOURCE_IP,
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
}
"""What a function sees beside the client's own headers."""


@dataclass(frozen=True)
class Request:
    """A client's request, before a gateway turns it into an event."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] | None = None
    body: Any = None
    """Bytes are sent base64-encoded (as for binary media types), text as it is, anything else as JSON."""

    def all_headers(self) -> dict[str, str]:
        """The client's headers over the gateway's."""
        json_body = self.body is not None and not isinstance(self.body, bytes | str)
        content = {"Content-Type": "application/json"} if json_body else {}
        return {**GATEWAY_HEADERS, **content, **(self.headers or {})}

    def event_body(self) -> tuple[str | None, bool]:
        """The body as an event carries it, and whether it is base64."""
        if isinstance(self.body, bytes):
            return base64.b64encode(self.body).decode(), True
        if self.body is None or isinstance(self.body, str):
            return self.body, False
        return json.dumps(self.body), False


def rest_event(
    request: Request, *, stage: str = "prod", authorizer: Mapping[str, Any] | None = None, api_key_id: str | None = None
) -> dict[str, Any]:
    """A REST API's proxy event; `authorizer` is what a Lambda authoriser put into the context."""
    headers = request.all_headers()
    pairs = parse_qsl(request.query, keep_blank_values=True)
    body, is_base64 = request.event_body()
    root = request.path == "/"
    return {
        "resource": "/" if root else "/{proxy+}",
        "path": request.path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": grouped(pairs) or None,
        "pathParameters": None if root else {"proxy": request.path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": rest_context(request, headers, stage, authorizer, api_key_id),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def rest_context(
    request: Request,
    headers: Mapping[str, str],
    stage: str,
    authorizer: Mapping[str, Any] | None,
    api_key_id: str | None,
) -> dict[str, Any]:
    """The request context of a REST API's event."""
    root = request.path == "/"
    nobody = ("accessKey", "accountId", "caller", "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId")
    identity = {**dict.fromkeys((*nobody, "user", "userArn")), "sourceIp": SOURCE_IP, "userAgent": USER_AGENT}
    context: dict[str, Any] = {
        "accountId": ACCOUNT,
        "apiId": API_ID,
        "deploymentId": "d3pl0y",
        "domainName": DOMAIN,
        "domainPrefix": API_ID,
        "extendedRequestId": "JJbxkFxPIAMFlpQ=",
        "httpMethod": request.method,
        "identity": {**identity, "userAgent": headers["User-Agent"]},
        "path": f"/{stage}{request.path}",
        "protocol": "HTTP/1.1",
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "requestTime": REQUEST_TIME,
        "requestTimeEpoch": MOMENT_MS,
        "resourceId": "r00tid" if root else "pr0xy1",
        "resourcePath": "/" if root else "/{proxy+}",
        "stage": stage,
    }
    if api_key_id:
        context["identity"] |= {"apiKeyId": api_key_id, "apiKey": headers.get("x-api-key")}
    if authorizer:
        context["authorizer"] = {"principalId": "user", "integrationLatency": 12, **authorizer}
    return context


def http_event(
    request: Request, *, stage: str = "$default", authorizer: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """An HTTP API's proxy event; `authorizer` is what a Lambda authoriser put into the context."""
    headers = {name.lower(): value for name, value in request.all_headers().items()}
    raw_path = request.path if stage == "$default" else f"/{stage}{request.path}"
    pairs = parse_qsl(request.query, keep_blank_values=True)
    body, is_base64 = request.event_body()
    cookie = headers.pop("cookie", None)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw_path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": API_ID,
            "domainName": DOMAIN,
            "domainPrefix": API_ID,
            "http": {
                "method": request.method,
                "path": raw_path,
                "protocol": "HTTP/1.1",
                "sourceIp": SOURCE_IP,
                "userAgent": headers["user-agent"],
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": stage,
            "time": REQUEST_TIME,
            "timeEpoch": MOMENT_MS,
        },
        "isBase64Encoded": is_base64,
    }
    if cookie:
        event["cookies"] = cookie.split("; ")
    if pairs:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in grouped(pairs).items()}
    if body is not None:
        event["body"] = body
    if authorizer:
        event["requestContext"]["authorizer"] = {"lambda": dict(authorizer)}
    return event


def grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The values of each name, in order."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


@dataclass(frozen=True)
class Response:
    """What API Gateway would send to the client; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def read_response(payload: Any) -> Response:
    """Read a proxy result; a payload that API Gateway would answer with 502 is an error."""
    if not isinstance(payload, dict) or not isinstance(payload.get("statusCode"), int):
        raise TypeError(f"no proxy result, API Gateway answers 502: {payload!r}")
    multiple = {name.lower(): ", ".join(values) for name, values in (payload.get("multiValueHeaders") or {}).items()}
    single = {name.lower(): value for name, value in (payload.get("headers") or {}).items()}
    body = payload.get("body") or ""
    return Response(
        payload["statusCode"],
        single | multiple,
        base64.b64decode(body) if payload.get("isBase64Encoded") else body.encode(),
    )
