"""The messages that wake a worker: each names what to look at, and says nothing of how it stands."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Wake:
    """A message: look at this run."""

    tenant: str
    thread_id: str
    run_id: str
    correlation_id: str = ""
    """The client's request that it goes back to, for the log; empty: it is not known."""
    hint: bool = False
    """Whether the run's watchdog is another message: whoever gets a watchdog of a run that goes on sends its next."""

    @property
    def name(self) -> str:
        """What tells the timer of this message from others."""
        return f"run-{self.run_id}"

    def to_text(self) -> str:
        """The message's body."""
        optional = ("correlation_id", "hint")
        return json.dumps({name: value for name, value in asdict(self).items() if value or name not in optional})

    @classmethod
    def from_content(cls, content: Any) -> "Wake":
        """The wake-up that a message's parsed body is; ValueError if it is none."""
        try:
            tenant, thread_id, run_id = (str(content[name]) for name in ("tenant", "thread_id", "run_id"))
            return cls(tenant, thread_id, run_id, str(content.get("correlation_id", "")), bool(content.get("hint")))
        except (KeyError, TypeError) as error:
            raise ValueError("not a wake-up message") from error


@dataclass(frozen=True, slots=True)
class CronWake:
    """A message: look at this cron, which was to fire at `due`."""

    tenant: str
    cron_id: str
    due: datetime
    armed_at: datetime
    """When it was sent: whoever sent it wrote the cron soon after, or never."""

    @property
    def name(self) -> str:
        """What tells the timer of this message from others."""
        return f"cron-{self.cron_id}"

    def to_text(self) -> str:
        """The message's body."""
        moments = {"due": self.due.isoformat(), "armed_at": self.armed_at.isoformat()}
        return json.dumps({"tenant": self.tenant, "cron_id": self.cron_id, **moments})

    @classmethod
    def from_content(cls, content: Any) -> "CronWake":
        """The wake-up that a message's parsed body is; ValueError if it is none."""
        try:
            due, armed_at = (datetime.fromisoformat(content[name]) for name in ("due", "armed_at"))
            return cls(str(content["tenant"]), str(content["cron_id"]), due, armed_at)
        except (KeyError, TypeError) as error:
            raise ValueError("not a cron's message") from error


Message = Wake | CronWake


def message_from_text(body: str) -> Message:
    """The message in a queue's text, or in that of Scheduler's dead letter about it; ValueError if there is none."""
    content = json.loads(body)
    match content:
        case {"MessageBody": str(text)}:  # the request to SQS that Scheduler could not make
            content = json.loads(text)
    return (CronWake if isinstance(content, dict) and "cron_id" in content else Wake).from_content(content)
