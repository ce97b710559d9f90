"""The settings of one process, read once from the environment and frozen."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Names are those of the environment variables, in lower case; what is given takes precedence over them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    table_name: str = "langgraph-lambda"
    """The DynamoDB table."""
    queue_url: str = ""
    """The SQS queue that wakes workers; empty: none, runs are driven where they are awaited."""
    queue_arn: str = ""
    """The ARN of that queue, as EventBridge Scheduler names its targets."""
    dead_letter_queue_arn: str = ""
    """The ARN of the queue where Scheduler leaves a message that it could not send."""
    schedule_group: str = ""
    """The EventBridge Scheduler group for what is to come in more than 15 minutes; empty: the queue carries it."""
    schedule_role_arn: str = ""
    """The role as which Scheduler sends to the queue."""
    webhook_secret: str = ""
    """Key that signs webhooks (Standard Webhooks, HMAC-SHA256); empty: they are not signed."""
    webhook_allowed_hosts: str = Field(default="", pattern=r"^[^*]*$")
    """Hosts, comma-separated and without wildcards, that webhooks may name although their addresses are private."""
    langgraph_config: Path = Path("langgraph.json")
    """The langgraph.json to serve."""
    tenant_claim: str = ""
    """Authoriser claim that names the tenant; empty: everyone who gets in belongs to `default_tenant`."""
    default_tenant: str = "default"
    """Tenant of callers where no claim names one."""
    gateway_timeout_seconds: float = Field(default=29.0, gt=0)
    """When the gateway gives up on a request, in seconds."""
    python_sdk_dialect: bool = True
    """Whether the Python SDK, which follows no redirect, is answered with a body that makes it ask again."""
    presence_grace_seconds: float = Field(default=60.0, ge=0)
    """How long after its last poll a waiter counts as gone, in seconds, beyond the window of a poll."""
    max_result_bytes: int = Field(default=6_000_000, gt=0)
    """Largest result that can be answered at once, in bytes; what Lambda gives back."""
    max_body_bytes: int = Field(default=6_000_000, gt=0)
    """Largest request body, in bytes."""
    stream_slice_seconds: float = Field(default=29.0, gt=0)
    """How long a stream behind a buffering gateway gathers events before it answers, in seconds; at most its window."""
    stream_kept_seconds: float = Field(default=3600.0, gt=0)
    """How long the events of a stream that someone may come back for are kept, in seconds."""
    stream_kept_bytes: int = Field(default=20_000_000, ge=0)
    """Most bytes of one run's events that are kept; 0: none are, and what a client misses it has missed."""
    default_on_disconnect: str = Field(default="cancel", pattern="^(cancel|continue)$")
    """What becomes of a run whose waiter has gone, where the request does not say."""
    state_cache_bytes: int = Field(default=64_000_000, ge=0)
    """How much state a process keeps in memory, in bytes."""
    strict_msgpack: bool = True
    """Whether checkpoints may hold only types that are known to be safe, and those of `allowed_types`."""
    allowed_types: str = ""
    """Further types that checkpoints may hold, comma-separated: `module:Class`."""
    aes_key: str = ""
    """Key that encrypts checkpoints (16, 24 or 32 bytes); empty: they are encrypted at rest by DynamoDB alone."""
    cors_origins: str = ""
    """Origins whose pages may call from a browser, comma-separated, or `*`; empty: none."""
    service_name: str = "langgraph-lambda"
    """What the metrics of this deployment are told apart by."""
    log_level: str = Field(default="INFO", pattern="^(INFO|WARNING|ERROR)$")
    """From which level on lines are logged; DEBUG lines of other packages hold requests, and so what users said."""

    @model_validator(mode="before")
    @classmethod
    def _over_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What is set of the variables, under what is given; pydantic-settings costs each cold start."""
        variables = {name: os.environ.get(name.upper()) for name in cls.model_fields}
        return {name: value for name, value in variables.items() if value is not None} | given


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()
