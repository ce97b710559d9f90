"""Webhooks: tells a run's webhook of its end, at least once, by the messages that look at the run.

settlement ──▶ a message ──▶ the next attempt's message ──▶ attempt noted on the run ──▶ POST ──▶ noted as told
     └──────▶ or the run's watchdog, if the process died in between

The message for the next attempt is under way before each attempt, so none is lost with a process; an attempt that was
noted keeps others from making it at the same time.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any, Protocol

from handler.domain.models import JsonObject, Run
from handler.domain.ports import Clock, RunStore, WakeQueue
from handler.errors import Invalid
from handler.runs.webhook_config import WebhookConfig

log = logging.getLogger(__name__)

PAUSES_S = (30, 60, 120, 300, 600, 900, 900, 900)
"""How long after the beginning of each attempt the next one comes, in seconds; after the last one it is given up.

Longer than an attempt may last, and no longer than the queue holds a message."""


class Poster(Protocol):
    """Sends what is to be told."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """POST to a webhook; the status of its answer."""


class Webhooks:
    """What a worker does about the webhook of a run that has ended."""

    def __init__(
        self,
        runs: RunStore,
        wakes: WakeQueue,
        clock: Clock,
        poster: Poster,
        content: Callable[[Run], Any],
        encode: Callable[[Any], bytes],
        secret: str = "",
        config: WebhookConfig | None = None,
        *,
        enabled: bool = True,
    ) -> None:
        self.enabled = enabled
        self.config = config or WebhookConfig()
        self.runs = runs
        self.wakes = wakes
        self.clock = clock
        self.poster = poster
        self.content = content
        """Awaits to what is told of a run, but for the moment of sending."""
        self.encode = encode
        self.secret = secret

    async def tell(self, run: Run) -> bool:
        """Tell a run's webhook of its end; True when nothing is left to do, False while a message is under way."""
        url = run.kwargs.get("webhook")
        if not url or not self.enabled or run.webhook_sent_at is not None:
            return True
        now = self.clock()
        if run.webhook_until is not None and now < run.webhook_until:
            return False
        if run.webhook_attempts >= len(PAUSES_S):
            await self._end(run, "webhook given up")
            return True
        pause_s = PAUSES_S[run.webhook_attempts]
        # Sent before the attempt is noted: whoever dies after it, the webhook is told again.
        await asyncio.to_thread(self.wakes.send, run.tenant, run.thread_id, run.run_id, delay_s=pause_s + 1)
        if not await asyncio.to_thread(self.runs.begin_webhook, run, now + timedelta(seconds=pause_s)):
            return False
        if not await self._attempt(run, url):
            return False
        await self._end(run, "webhook told")
        return True

    async def _attempt(self, run: Run, url: str) -> bool:
        """Whether the webhook took the news."""
        now = self.clock()
        told = {**await self.content(run), "webhook_sent_at": now.isoformat()}
        body = self.encode(self.config.chosen(told))
        failure: str | int
        try:
            failure = await asyncio.to_thread(self.poster.post, url, self.headers(run, now, body), body)
        except (OSError, HTTPException, Invalid) as error:
            failure = type(error).__name__
        if isinstance(failure, int) and 200 <= failure < 300:
            return True
        log.warning("webhook failed", extra={**fields_of(run), "attempt": run.webhook_attempts + 1, "error": failure})
        return False

    async def _end(self, run: Run, message: str) -> None:
        await asyncio.to_thread(self.runs.end_webhook, run, self.clock())
        log.info(message, extra=fields_of(run))

    def headers(self, run: Run, now: datetime, body: bytes) -> dict[str, str]:
        """The headers of a message; signed as the Standard Webhooks specification has it, where there is a secret."""
        moment = str(int(now.timestamp()))
        own = {"Content-Type": "application/json", "webhook-id": run.run_id, "webhook-timestamp": moment}
        if self.secret:
            own["webhook-signature"] = signature(self.secret, run.run_id, moment, body)
        return {"User-Agent": "langgraph-lambda", **self.config.headers, **own}


def signature(secret: str, message_id: str, moment: str, body: bytes) -> str:
    """The signature over id, moment and body; a secret that begins with `whsec_` is base64 after it."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{message_id}.{moment}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def ending(shown: JsonObject, run: Run, values: Any) -> JsonObject:
    """What is told of a run: the run as it is shown, its times, its values, and why it failed."""
    told = {
        **shown,
        "run_started_at": run.started_at.isoformat() if run.started_at else None,
        "run_ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "values": values,
    }
    if run.error is None:
        told.pop("error", None)
    return told


def fields_of(run: Run) -> JsonObject:
    """What tells a run in the log."""
    return {"thread_id": run.thread_id, "run_id": run.run_id}
