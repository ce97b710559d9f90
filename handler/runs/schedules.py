"""Cron expressions: what is one, and when it fires next, in a time zone."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from handler.errors import Invalid

LONGEST_SCHEDULE = 256
"""Longest expression, in characters."""


def zone_of(name: str | None) -> tzinfo:
    """The time zone of an IANA name, UTC for None; Invalid for a name that is none."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not known, not a relative path, a directory
        raise Invalid(f"Invalid timezone: '{name}'. Use an IANA name, such as 'America/New_York'.") from None


def next_fire(schedule: str, timezone: str | None, after: datetime) -> datetime:
    """When a schedule fires next after a moment, in UTC; Invalid if it is no schedule, or never fires."""
    from croniter import croniter
    from croniter.croniter import CroniterError

    zone = zone_of(timezone)
    if len(schedule) > LONGEST_SCHEDULE or not croniter.is_valid(schedule):
        raise Invalid(
            f"Invalid cron schedule: '{schedule[:LONGEST_SCHEDULE]}'. Give minute, hour, day of the month, month and "
            "day of the week, such as '*/5 * * * *' for every 5 minutes."
        )
    try:
        following: datetime = croniter(schedule, after.astimezone(zone)).get_next(datetime)
    except CroniterError:
        raise Invalid(f"Invalid cron schedule: '{schedule}' never fires") from None
    return following.astimezone(UTC)
