"""The exceptions of the service, each a condition that a caller can act upon.

ServiceError
├── BadRequest              400
├── NotFound                404
│   ├── ThreadNotFound
│   ├── RunNotFound
│   ├── AssistantNotFound
│   └── CronNotFound
├── Conflict                409
│   ├── AssistantExists
│   ├── SystemAssistant
│   ├── ThreadExists
│   └── ThreadBusy
├── PayloadTooLarge         413
├── Invalid                 422
├── NotSupported            501
├── StorageUnavailable      503
├── AlreadyAccepted         (never leaves the API)
├── LeaseLost               (never leaves the driver)
└── GraphLoadError          (a start-up error)
"""


class ServiceError(Exception):
    """The request could not be carried out."""


class BadRequest(ServiceError):
    """The request contradicts itself or the state of what it names."""


class NotFound(ServiceError):
    """What the request names does not exist, or the caller may not see it."""


class ThreadNotFound(NotFound):
    """Thread or assistant not found."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"Thread with ID {thread_id} not found")
        self.thread_id = thread_id


class RunNotFound(NotFound):
    """Run not found."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run with ID {run_id} not found")
        self.run_id = run_id


class AssistantNotFound(NotFound):
    """Assistant not found."""

    def __init__(self, assistant_id: str) -> None:
        super().__init__(f"Assistant with ID {assistant_id} not found")
        self.assistant_id = assistant_id


class CronNotFound(NotFound):
    """Cron not found."""

    def __init__(self, cron_id: str) -> None:
        super().__init__(f"Cron '{cron_id}' not found")
        self.cron_id = cron_id


class Conflict(ServiceError):
    """The request lost against the present state of what it names."""


class AssistantExists(Conflict):
    """An assistant with this ID exists already."""

    def __init__(self, assistant_id: str) -> None:
        super().__init__(f"Assistant {assistant_id} already exists")


class SystemAssistant(Conflict):
    """A graph's own assistant is what langgraph.json makes it, the same for every tenant."""

    def __init__(self, assistant_id: str) -> None:
        super().__init__(
            f"Assistant {assistant_id} is the system assistant of a graph and cannot be changed: "
            "create an assistant of that graph instead"
        )


class ThreadExists(Conflict):
    """A thread with this ID exists already."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"Thread with ID {thread_id} already exists")


class ThreadBusy(Conflict):
    """A run holds the thread, or waits for it, and the strategy is to reject."""


class AlreadyAccepted(ServiceError):
    """A run was accepted before under the same idempotency key; whoever asks again joins it."""

    def __init__(self, thread_id: str, run_id: str, fingerprint: str) -> None:
        super().__init__(f"run {run_id} was accepted under this key")
        self.thread_id = thread_id
        self.run_id = run_id
        self.fingerprint = fingerprint


class PayloadTooLarge(ServiceError):
    """A request, a value or a result exceeds what the platform can carry."""


class Invalid(ServiceError):
    """A field of the request has a value that is not allowed."""


class NotSupported(ServiceError):
    """The request asks, by a known name, for what this server does not do."""


class StorageUnavailable(ServiceError):
    """DynamoDB or SQS refused or failed for longer than the retries lasted."""


class LeaseLost(ServiceError):
    """Another driver has taken over: stop, and touch neither run nor thread."""

    partial: object = None
    """What the run's waiter would have been told so far."""


class GraphLoadError(ServiceError):
    """A graph of langgraph.json could not be loaded; names file and attribute."""
