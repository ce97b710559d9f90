"""Writes on their way: held back for a moment, so that the next record takes them along."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.state import Write

MISSES = 3
"""Checkpoints in a row whose writes were held in vain, after which writes are held at every eighth only.

LangGraph puts a checkpoint of a graph with delta channels after its writes are stored, never before.
"""

PROBED = 8

REMEMBERED = 64
"""Checkpoints whose place in the log is remembered for pending writes that come late."""


@dataclass(slots=True, eq=False)
class Held:
    """A task's writes on their way: held until the record that follows takes them along or the time is up."""

    checkpoint_id: str
    writes: list[Write]
    run_id: str | None
    codec: Codec
    placed: "Future[None]" = field(default_factory=Future)
    """Done when the checkpoint has its slot."""

    done: "Future[None]" = field(default_factory=Future)
    """Done when the writes are durable."""

    def fail(self, error: BaseException) -> None:
        """Tell the task that its writes are not durable."""
        for future in (self.placed, self.done):
            if not future.done():
                future.set_exception(error)

    def finish(self) -> None:
        """Tell the task that its writes are durable."""
        self.place()
        if not self.done.done():
            self.done.set_result(None)

    def place(self) -> None:
        """Tell the task that its checkpoint has its slot."""
        if not self.placed.done():
            self.placed.set_result(None)


class PendingWrites:
    """The writes that one log holds back or is storing, and the slots of the checkpoints that they may belong to.

    Each of them is in one hand at a time: here, in a record's that takes them along, or in that of who stores them.
    """

    def __init__(self, send: Callable[[Held], None]) -> None:
        self.send = send
        self.gate = Lock()
        self.failure: BaseException | None = None
        """What the last put failed with: no later checkpoint will come."""

        self._places: dict[str, tuple[int, int]] = {}
        """Slot and number of stored writes of the checkpoints seen last."""

        self._beginning = ""
        """The first checkpoint of a log that was empty: none came or will come before it."""

        self._misses = 0
        self._held: list[Held] = []
        self._storing: list[Held] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._held and not self._storing and self.failure is None

    @property
    def worth_holding(self) -> bool:
        """Whether the next record is likely to come while writes are held."""
        return self._misses < MISSES or self._misses % PROBED == 0

    def hold(self, held: Held) -> None:
        """Take writes in charge; they are durable once `held.done` is."""
        with self.gate:
            placed = held.checkpoint_id in self._places
            if self.failure is not None and not placed:
                raise self.failure
            if not placed and held.checkpoint_id < self._beginning:
                held.finish()
                return
            self._held.append(held)
            if placed:
                held.place()

    def begin(self, checkpoint_id: str) -> None:
        """The first checkpoint of a log: writes of any before it belong to nothing, and are done with.

        LangGraph makes such writes where a command comes to a thread without state: of a checkpoint it never puts.
        """
        with self.gate:
            self._beginning = checkpoint_id
            baseless = [held for held in self._held if held.checkpoint_id < checkpoint_id]
            self._held = [held for held in self._held if held.checkpoint_id >= checkpoint_id]
        for held in baseless:
            held.finish()

    def place(self, checkpoint_id: str, seq: int, count: int) -> None:
        """A checkpoint has its slot, and so many items of writes."""
        with self.gate:
            self._places[checkpoint_id] = (seq, max(count, self._places.get(checkpoint_id, (0, 0))[1]))
            while len(self._places) > REMEMBERED:
                self._places.pop(next(iter(self._places)))
            for held in self._held:
                if held.checkpoint_id == checkpoint_id:
                    held.place()

    def next_place(self, checkpoint_id: str) -> tuple[int, int]:
        """The slot of a checkpoint, and a number that no other item of its writes has got from here."""
        with self.gate:
            seq, count = self._places[checkpoint_id]
            self._places[checkpoint_id] = (seq, count + 1)
        return seq, count

    def fail(self, error: BaseException) -> None:
        """A put failed: writes of checkpoints that have no slot will never be stored."""
        with self.gate:
            self.failure = error
            lost = [held for held in self._held if held.checkpoint_id not in self._places]
            self._held = [held for held in self._held if held.checkpoint_id in self._places]
        for held in lost:
            held.fail(error)

    def recover(self) -> None:
        """The log was read anew: it may be appended to again."""
        with self.gate:
            self.failure = None
            self._beginning = ""

    def take(self, checkpoint_id: str | None) -> list[Held]:
        """Hand over all that is held for a checkpoint; whoever takes it ends it."""
        with self.gate:
            taken = [held for held in self._held if held.checkpoint_id == checkpoint_id]
            self._held = [held for held in self._held if held.checkpoint_id != checkpoint_id]
            stored_alone = self._places.get(checkpoint_id or "", (0, 0))[1]
            if taken or stored_alone:
                self._misses = 0 if taken else self._misses + 1
        return taken

    def drop(self, held: Held, error: BaseException) -> None:
        """Give up on writes, unless they are in other hands by now."""
        with self.gate:
            ours = held in self._held
            if ours:
                self._held.remove(held)
        if ours:
            held.fail(error)

    def claim(self, held: Held) -> bool:
        """Whether the caller is the one to store these writes: no record has taken them along."""
        with self.gate:
            if held in self._held:
                self._held.remove(held)
                self._storing.append(held)
                return True
            return False

    def give_up(self, held: Held, error: BaseException) -> None:
        """Fail claimed writes that cannot be stored."""
        with self.gate:
            if held in self._storing:
                self._storing.remove(held)
        held.fail(error)

    def store(self, held: Held) -> None:
        """Store claimed writes as an item of their own; many may be under way at once."""
        try:
            self.send(held)
        except BaseException as error:
            held.fail(error)
            raise
        else:
            held.finish()
        finally:
            with self.gate:
                if held in self._storing:
                    self._storing.remove(held)

    def store_all(self, batch: Sequence[Held]) -> None:
        """Store each, whatever becomes of the others; raise what the first one failed with."""
        errors: list[Exception] = []
        for held in batch:
            try:
                self.store(held)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def flush(self) -> None:
        """Make all writes durable whose checkpoint has its slot; return when those under way are."""
        with self.gate:
            ready = [held for held in self._held if held.checkpoint_id in self._places]
            self._held = [held for held in self._held if held.checkpoint_id not in self._places]
            under_way = list(self._storing)
        self.store_all(ready)
        for held in under_way:
            held.done.result()
