"""Timers: messages that come at a moment, by the queue's delay, or by EventBridge Scheduler where that is too short.

Either way a message may come early: whoever gets one looks at what it names, and sets the timer again.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from handler.domain.messages import Message
from handler.domain.ports import Clock
from handler.errors import StorageUnavailable
from handler.storage.queue import MAX_DELAY_S, SqsWakes

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_scheduler.type_defs import CreateScheduleInputTypeDef

LEAD = timedelta(seconds=60)
"""How long before its moment a schedule fires: Scheduler keeps to the minute, the queue then to the second."""

FARTHEST = timedelta(days=365)
"""How far ahead a schedule is set at most; its message comes early then, and sets the next one."""

UPSERT_TRIES = 3
"""How often create and update take turns, when others create and fire the same schedule at the same time."""


class QueueTimers:
    """The port `Timers` over the queue alone: a message that is to wait longer than the queue holds one comes early."""

    def __init__(self, wakes: SqsWakes, clock: Clock) -> None:
        self.wakes = wakes
        self.clock = clock

    def set(self, message: Message, due: datetime) -> None:
        """Have a worker get a message then, or as late as the queue allows; earlier ones of the same name come too."""
        left = (due - self.clock()).total_seconds()
        self.wakes.post(message, delay_s=min(max(math.ceil(left), 0), MAX_DELAY_S))

    def clear(self, message: Message) -> None:
        """Do nothing: what is on the queue comes, and finds what it names gone."""


class SchedulerTimers:
    """The port `Timers` over one-shot schedules of EventBridge Scheduler, which send to the queue."""

    def __init__(
        self,
        connect: "Callable[[], EventBridgeSchedulerClient]",
        near: QueueTimers,
        clock: Clock,
        *,
        group: str,
        queue_arn: str,
        dead_letter_queue_arn: str,
        role_arn: str,
    ) -> None:
        self._connect = connect
        self.near = near
        self.clock = clock
        self.group = group
        self.queue_arn = queue_arn
        self.dead_letter_queue_arn = dead_letter_queue_arn
        self.role_arn = role_arn

    @cached_property
    def client(self) -> "EventBridgeSchedulerClient":
        """The client, made when it is first needed: few processes set a timer, and each cold start would pay."""
        return self._connect()

    def set(self, message: Message, due: datetime) -> None:
        """Have a worker get a message then, in place of an earlier one of the same name that has longer to wait."""
        now = self.clock()
        if due - now <= timedelta(seconds=MAX_DELAY_S):
            self.near.set(message, due)
            return
        schedule = self._schedule(message, min(due - LEAD, now + FARTHEST))
        for _ in range(UPSERT_TRIES):
            if self._sent("create", schedule, unless="ConflictException"):
                return
            if self._sent("update", schedule, unless="ResourceNotFoundException"):
                return
        raise StorageUnavailable("the schedule changes too often at the moment")

    def clear(self, message: Message) -> None:
        """Delete the schedule; a message that is on the queue by now still comes."""
        try:
            self.client.delete_schedule(Name=message.name, GroupName=self.group)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) != "ResourceNotFoundException":
                raise StorageUnavailable(f"Scheduler DeleteSchedule failed: {type(error).__name__}") from error

    def _schedule(self, message: Message, moment: datetime) -> "CreateScheduleInputTypeDef":
        return {
            "Name": message.name,
            "GroupName": self.group,
            "ScheduleExpression": f"at({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self.queue_arn,
                "RoleArn": self.role_arn,
                "Input": message.to_text(),
                # Where the message goes once Scheduler has tried for a day.
                "DeadLetterConfig": {"Arn": self.dead_letter_queue_arn},
            },
        }

    def _sent(self, kind: str, schedule: "CreateScheduleInputTypeDef", *, unless: str) -> bool:
        """Whether a request took effect; False if it was refused by the code `unless`."""
        try:
            if kind == "create":
                self.client.create_schedule(**schedule)
            else:
                self.client.update_schedule(**schedule)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) == unless:
                return False
            raise StorageUnavailable(f"Scheduler {kind} failed: {type(error).__name__}") from error
        return True


class NoTimers:
    """The port `Timers` where there is no worker."""

    def set(self, message: Message, due: datetime) -> None:
        """Drop the message."""

    def clear(self, message: Message) -> None:
        """Do nothing."""


def code_of(error: ClientError | BotoCoreError) -> str:
    """The service's code of an error; empty where the service did not answer."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
