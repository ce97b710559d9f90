"""Cron expressions: when each fires next, in its time zone, also where clocks are put forward and back."""

from datetime import UTC, datetime

import pytest

from handler.errors import Invalid
from handler.runs.schedules import LONGEST_SCHEDULE, next_fire


@pytest.mark.parametrize(
    ("schedule", "timezone", "after", "expected"),
    [
        ("*/5 * * * *", None, "2026-03-02T12:00:30", "2026-03-02T12:05:00"),
        ("0 0 * * 0", None, "2026-03-02T12:00:00", "2026-03-08T00:00:00"),
        ("0 0 * * 7", None, "2026-03-02T12:00:00", "2026-03-08T00:00:00"),
        ("0 9 * * mon-fri", None, "2026-03-06T09:00:00", "2026-03-09T09:00:00"),
        # A day of the month and of the week together: either.
        ("0 0 13 * fri", None, "2026-03-02T00:00:00", "2026-03-06T00:00:00"),
        ("0 0 29 2 *", None, "2026-03-02T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 L * *", None, "2026-02-02T00:00:00", "2026-02-28T00:00:00"),
        ("0 0 * * fri#2", None, "2026-03-02T00:00:00", "2026-03-13T00:00:00"),
        ("@daily", None, "2026-03-02T12:00:00", "2026-03-03T00:00:00"),
        ("* * * * * */10", None, "2026-03-02T12:00:05", "2026-03-02T12:00:10"),
        ("0 9 * * *", "America/New_York", "2026-03-02T12:00:00", "2026-03-02T14:00:00"),
        # The day on which clocks go forward there, at 02:00 to 03:00.
        ("0 9 * * *", "America/New_York", "2026-03-07T20:00:00", "2026-03-08T13:00:00"),
        ("0 1 * * *", "Europe/Oslo", "2026-03-29T00:30:00", "2026-03-29T23:00:00"),
        ("30 2 * * *", "America/New_York", "2026-03-07T20:00:00", "2026-03-08T07:00:00"),
        # The day on which they go back: an hour comes twice.
        ("30 1 * * *", "America/New_York", "2026-10-31T20:00:00", "2026-11-01T05:30:00"),
        ("30 1 * * *", "America/New_York", "2026-11-01T05:30:00", "2026-11-01T06:30:00"),
        ("0 9 * * *", "America/New_York", "2026-10-31T20:00:00", "2026-11-01T14:00:00"),
        ("0 12 * * *", "Asia/Kathmandu", "2026-03-02T00:00:00", "2026-03-02T06:15:00"),
    ],
)
def test_a_schedule_fires_next(schedule: str, timezone: str | None, after: str, expected: str) -> None:
    following = next_fire(schedule, timezone, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert following == datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert following.utcoffset() == datetime.now(UTC).utcoffset()


@pytest.mark.parametrize("timezone", [None, "America/New_York", "Europe/Oslo"])
@pytest.mark.parametrize("start", ["2026-03-07T20:00:00", "2026-03-28T20:00:00", "2026-10-24T20:00:00"])
def test_dates_only_ever_grow(timezone: str | None, start: str) -> None:
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    for _ in range(100):
        following = next_fire("*/30 * * * *", timezone, moment)
        assert following > moment
        moment = following


@pytest.mark.parametrize(
    "schedule",
    ["", "nope", "* * * *", "60 * * * *", "* 24 * * *", "0 0 31 2 *", "H * * * *", "*" * (LONGEST_SCHEDULE + 1)],
)
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(Invalid, match="Invalid cron schedule"):
        next_fire(schedule, None, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("timezone", ["", "X/Y", "../etc", "/etc/localtime", "America", "utc\0"])
def test_what_is_no_time_zone_is_refused(timezone: str) -> None:
    with pytest.raises(Invalid, match="Invalid timezone"):
        next_fire("* * * * *", timezone, datetime(2026, 1, 1, tzinfo=UTC))
