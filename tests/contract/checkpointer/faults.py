"""A DynamoDB client that misbehaves at one request, at a chosen moment, the same way each time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

REQUESTS = frozenset(
    {
        "get_item",
        "put_item",
        "update_item",
        "delete_item",
        "query",
        "transact_write_items",
        "batch_write_item",
        "batch_get_item",
    }
)


class Fault(StrEnum):
    """What happens to the chosen request, and when the others run."""

    PAUSE = "pause"
    """The others run, then the request is sent."""
    FAILED = "failed"
    """The others run; the request is never sent, the caller hears of a failure."""
    LOST = "lost"
    """The request has its effect, the response is lost for good: the others run, the caller hears of a failure."""
    RETRIED = "retried"
    """The request has its effect, the response is lost: the others run, then the SDK sends the request again."""
    ECHO = "echo"
    """All goes well, then the others run, then a duplicate of the request arrives."""
    LATE = "late"
    """The caller hears of a failure and gives up; the others run; only then the request arrives."""


@dataclass
class FaultyClient:
    """Stands before a boto3 client; counts requests and spoils number `at` (from 1; 0: none)."""

    client: Any
    fault: Fault = Fault.PAUSE
    at: int = 0
    others: Callable[[], None] = lambda: None
    seen: list[str] = field(default_factory=list)
    happened: bool = False
    armed: bool = False
    """Requests count only while this is set."""
    _late: list[Callable[[], None]] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.RLock)

    def __getattr__(self, name: str) -> Any:
        send = getattr(self.client, name)
        if name not in REQUESTS:
            return send

        def spoilt(**request: Any) -> Any:
            with self._lock:
                if not self.armed:
                    return send(**request)
                self.seen.append(name)
                if len(self.seen) != self.at:
                    return send(**request)
                self.happened = True
                return self._spoil(send, name, request)

        return spoilt

    def _spoil(self, send: Callable[..., Any], name: str, request: dict[str, Any]) -> Any:
        failed = ConnectTimeoutError(endpoint_url="http://dynamodb")
        lost = ReadTimeoutError(endpoint_url="http://dynamodb")
        match self.fault:
            case Fault.PAUSE:
                self.others()
                return send(**request)
            case Fault.FAILED:
                self.others()
                raise failed
            case Fault.LOST:
                swallow(send, request)
                self.others()
                raise lost
            case Fault.RETRIED:
                swallow(send, request)
                self.others()
                return send(**request)
            case Fault.ECHO:
                response = send(**request)
                self._late.append(lambda: swallow(send, request))
                return response
            case Fault.LATE:
                self._late.append(lambda: swallow(send, request))
                raise lost

    def settle(self) -> None:
        """Once the call is over: let the others run if they have not, and deliver what is still under way."""
        if self.happened and self._late:
            self.others()
            for arrive in self._late:
                arrive()
            self._late.clear()


def swallow(send: Callable[..., Any], request: dict[str, Any]) -> None:
    """Send a request whose answer, refusal or not, nobody hears."""
    from botocore.exceptions import ClientError

    try:
        send(**request)
    except ClientError:
        return
