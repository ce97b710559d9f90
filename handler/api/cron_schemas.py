"""The bodies of requests about crons, and a cron as the API shows it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from handler.api.schemas import MAX_ROWS, Body, JsonDict, RunBody
from handler.domain.models import Cron, JsonObject


def _object_or_objects(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
        return value
    if value is None:
        return None
    raise ValueError("must be an object or a list of objects")


def _moment(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError("must be a date and time as text, such as '2030-01-01T00:00:00Z'")
    return value


Input = Annotated[Any, BeforeValidator(_object_or_objects)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class CronBody(RunBody):
    """What to run again and again, and when."""

    schedule: StrictStr = Field(description="Minute, hour, day of the month, month, day of the week.")
    timezone: StrictStr | None = Field(
        default=None, description="IANA name of the schedule's time zone; UTC if absent."
    )
    end_time: Moment = Field(default=None, description="After when it fires no more.")
    enabled: StrictBool | None = None
    on_run_completed: Literal["delete", "keep"] | None = None
    input: Input = None


class CronPatchBody(CronBody):
    """What to change of a cron."""

    assistant_id: StrictStr = Field(default="", description="Ignored: a cron keeps its assistant.")
    schedule: StrictStr | None = None  # type: ignore[assignment]


CronField = Literal[
    "cron_id",
    "assistant_id",
    "thread_id",
    "on_run_completed",
    "end_time",
    "schedule",
    "timezone",
    "created_at",
    "updated_at",
    "user_id",
    "payload",
    "next_run_date",
    "metadata",
    "enabled",
]


class CronCountBody(Body):
    """Which crons to count."""

    assistant_id: StrictStr | None = None
    thread_id: StrictStr | None = None
    metadata: JsonDict | None = None


class CronSearchBody(CronCountBody):
    """Which crons to list."""

    enabled: StrictBool | None = None
    limit: Annotated[StrictInt, Field(ge=1, le=MAX_ROWS)] = 10
    offset: Annotated[StrictInt, Field(ge=0)] = 0
    sort_by: (
        Literal["cron_id", "assistant_id", "thread_id", "next_run_date", "end_time", "created_at", "updated_at"] | None
    ) = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[CronField] | None = None


def shown_cron(cron: Cron) -> JsonObject:
    """A cron as the API shows it."""
    return {
        "cron_id": cron.cron_id,
        "assistant_id": cron.assistant_id,
        "thread_id": cron.thread_id,
        "user_id": cron.user_id or "",
        "end_time": cron.end_time.isoformat() if cron.end_time else None,
        "schedule": cron.schedule,
        "timezone": cron.timezone,
        "payload": cron.payload,
        "next_run_date": cron.next_run_date.isoformat(),
        "metadata": cron.metadata,
        "on_run_completed": cron.on_run_completed,
        "enabled": cron.enabled,
        "created_at": cron.created_at.isoformat(),
        "updated_at": cron.updated_at.isoformat(),
    }
