"""The states that this process has seen last, per namespace of a thread."""

from collections import OrderedDict
from threading import Lock

from handler.storage.checkpointer.state import State

Key = tuple[str, str, str]
"""Tenant, thread, namespace."""


class StateCache:
    """Serialised states by namespace, at most `max_bytes` of them, the least recently used one evicted first.

    A sequence number is never reused, so a state found under the right number is the right one.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._states: OrderedDict[Key, State] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> State | None:
        """The newest state known of a namespace."""
        with self._lock:
            if key in self._states:
                self._states.move_to_end(key)
            return self._states.get(key)

    def put(self, key: Key, state: State) -> None:
        """Remember a state in place of an older one; a reader that comes late does not undo what was written since."""
        with self._lock:
            known = self._states.get(key)
            if known is not None and known.seq > state.seq:
                return
            self._drop(key)
            if state.footprint > self.max_bytes:
                return
            self._states[key] = state
            self.bytes += state.footprint
            while self.bytes > self.max_bytes:
                self._drop(next(iter(self._states)))

    def drop(self, key: Key) -> None:
        """Forget a namespace."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        state = self._states.pop(key, None)
        if state is not None:
            self.bytes -= state.footprint
