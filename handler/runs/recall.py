"""What this process knows of threads that it drove last: enough to start the next turn without reading."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from handler.domain.models import Run


@dataclass(frozen=True, slots=True)
class Recollection:
    """A thread as this process left it; true as long as the thread's epoch is this one."""

    epoch: int
    heads: dict[str, int]
    """Per namespace of the log the last sequence number."""
    clean: bool = True


class Recall:
    """The threads that this process settled last; thread-safe."""

    def __init__(self, capacity: int = 10_000) -> None:
        self.capacity = capacity
        self._known: OrderedDict[tuple[str, str], Recollection] = OrderedDict()
        self._lock = Lock()

    def note(self, run: Run, recollection: Recollection) -> None:
        """Remember how a run left its thread."""
        with self._lock:
            self._known[run.tenant, run.thread_id] = recollection
            self._known.move_to_end((run.tenant, run.thread_id))
            while len(self._known) > self.capacity:
                self._known.popitem(last=False)

    def take(self, run: Run) -> Recollection | None:
        """What is known of a run's thread; whoever takes it finds out whether it still holds."""
        with self._lock:
            return self._known.pop((run.tenant, run.thread_id), None)

    def knows(self, run: Run) -> bool:
        """Whether there is something to take."""
        with self._lock:
            return (run.tenant, run.thread_id) in self._known
