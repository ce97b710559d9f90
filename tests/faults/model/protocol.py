"""The lock protocol of one thread, small enough that every order of events can be tried.

What the code does in one conditional write, read or transaction is one move here; between two moves of one process
those of all others may come. There is no clock: a lease whose process is gone looks dead, and one whose process lives
may look so as often as `mistakes` says. That covers every clock skew and every frozen process (the zombie goes on at
any later moment, from where it was). A message may come at any moment after it was sent, however long its delay.

| here               | in the code                                                        |
|--------------------|--------------------------------------------------------------------|
| `admit`            | `Admission.admit`: watchdog, look, `admit` / `enqueue` / `usurp`   |
| `attend`           | `Attendant.attend`: run, thread, watchdog, `start` / `take_over`   |
| `cancel`           | `Cancellation.cancel`: thread, run, `usurp` / `cancel_queued`      |
| `drive`            | `Drive.run`: fence, load, super-steps, `settle` / `hand_off`       |
| log                | slots of the checkpointer; a put is refused unless its slot is n+1 |
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

STEPS = 2
"""Super-steps of a run: its input and one more."""

NEW, PENDING, RUNNING, SUCCESS, INTERRUPTED, GONE, REFUSED = range(7)
"""What has become of a run; the last four are final."""

ENQUEUE, REJECT, INTERRUPT, ROLLBACK = range(4)
"""Strategies; the last two are actions of a cancel as well, 0 is none."""

IDLE, ADMIT, CANCEL, ATTEND, FENCE, LOAD, STEP, WAKE = range(8)
"""What a process is at."""

NONE, WATCHDOG, HINT = range(3)
"""Messages: one that is followed by another until its run has ended, and one that is not."""

NOBODY = -1


class Run(NamedTuple):
    """A run's item."""

    status: int = NEW
    attempt: int = 0
    cancel: int = 0


class Thread(NamedTuple):
    """The thread's item; the lease is held if `held`, by whoever was granted `epoch`."""

    epoch: int = 0
    held: bool = False
    active: int = NOBODY
    queue: tuple[int, ...] = ()
    clean: bool = True


class Record(NamedTuple):
    """A slot of the log: step `number` of a run, or a mark (FENCED, RESET)."""

    run: int
    number: int
    epoch: int


FENCED, RESET = -1, -2


class Process(NamedTuple):
    """One process and all that it would forget if it died."""

    at: int = IDLE
    run: int = NOBODY
    message: int = NONE
    """The message about `run` that it holds, which comes again if the process dies."""
    seen_run: Run | None = None
    seen: Thread | None = None
    epoch: int = 0
    resumes: bool = False
    cancel: int = 0
    head: int = 0
    number: int = 0
    """The next super-step of the run."""


class State(NamedTuple):
    """Everything there is."""

    thread: Thread
    runs: tuple[Run, ...]
    log: tuple[Record, ...]
    messages: frozenset[int]
    """The runs whose watchdog is in the queue."""
    hints: frozenset[int]
    """The runs about which another message is in the queue."""
    processes: tuple[Process, ...]
    crashes: int
    mistakes: int
    handoffs: int
    cancels: int
    started: tuple[int, ...] = ()
    """The runs in the order in which they were started."""
    arrived: tuple[int, ...] = ()
    """The runs in the order in which they were accepted."""


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    strategy: int = ENQUEUE
    inline: bool = False


@dataclass(frozen=True)
class Bugs:
    """Bugs that can be planted."""

    settle_without_epoch: bool = False
    no_fence: bool = False
    no_watchdog: bool = False
    stale_run: bool = False
    missing_is_done: bool = False
    """A message about a run that is not there yet is taken off the queue."""
    watchdog_ends: bool = False
    """A watchdog that finds another at work is followed by no other."""


@dataclass(frozen=True)
class Scenario:
    """What the clients ask for, and how much may go wrong."""

    name: str
    requests: tuple[Request, ...]
    processes: int = 2
    crashes: int = 1
    mistakes: int = 1
    handoffs: int = 0
    cancels: tuple[tuple[int, int], ...] = ()
    """Runs that a client cancels, and how, in this order."""
    bugs: Bugs = Bugs()

    def start(self) -> State:
        """The state before anything has happened."""
        return State(
            thread=Thread(),
            runs=(Run(),) * len(self.requests),
            log=(),
            messages=frozenset(),
            hints=frozenset(),
            processes=(Process(),) * self.processes,
            crashes=self.crashes,
            mistakes=self.mistakes,
            handoffs=self.handoffs,
            cancels=len(self.cancels),
        )

    def moves(self, state: State) -> Iterator[tuple[bool, State]]:
        """Every state that may come next; True where no fault and no client is needed for it."""
        for index, process in enumerate(state.processes):
            if index and process == state.processes[index - 1]:
                continue  # processes are alike
            for fair, process_after, after in self._moves_of(state, process):
                rest = state.processes[:index] + state.processes[index + 1 :]
                yield fair, after._replace(processes=tuple(sorted((*rest, process_after), key=order)))

    def _moves_of(self, state: State, process: Process) -> Iterator[tuple[bool, Process, State]]:
        if process.at != IDLE and state.crashes:
            yield False, Process(), given_back(state, process)._replace(crashes=state.crashes - 1)
        if process.at == IDLE:
            yield from self._begin(state)
        elif process.at == ADMIT:
            yield True, *self._admit(state, process)
        elif process.at == CANCEL:
            yield True, *self._cancel(state, process)
        elif process.at == ATTEND:
            yield from self._attend(state, process)
        elif process.at == WAKE:
            yield True, *done(state._replace(hints=state.hints | {process.run}), process)
        else:
            yield from self._drive(state, process)

    # ------------------------------------------------------------------ clients and messages

    def _begin(self, state: State) -> Iterator[tuple[bool, Process, State]]:
        for index, run in enumerate(state.runs):
            asked = any(process.at == ADMIT and process.run == index for process in state.processes)
            if run.status == NEW and not asked:
                after = state if self.bugs.no_watchdog else sent(state, index)
                yield False, Process(ADMIT, index), after
                break  # clients come in order
        if state.cancels:
            victim, action = self.cancels[len(self.cancels) - state.cancels]
            if state.runs[victim].status not in (NEW, REFUSED):
                yield False, Process(CANCEL, victim, cancel=action), state._replace(cancels=state.cancels - 1)
        for index in state.messages:
            yield True, Process(ATTEND, index, WATCHDOG), state._replace(messages=state.messages - {index})
            yield False, Process(ATTEND, index, WATCHDOG), state  # it will come once more
        for index in state.hints:
            yield True, Process(ATTEND, index, HINT), state._replace(hints=state.hints - {index})

    def _admit(self, state: State, process: Process) -> tuple[Process, State]:
        """Look, then one conditional write; if it is refused, look again."""
        thread, request = state.thread, self.requests[process.run]
        if process.seen is None:
            return process._replace(seen=thread), state
        seen, index = process.seen, process.run
        again = process._replace(seen=None)
        busy = thread.active != NOBODY or bool(thread.queue)
        if seen.active == NOBODY and not seen.queue:
            if request.inline:
                if busy or thread.epoch != seen.epoch:
                    return again, state
                return self._granted(state, process, index, seen, Run(RUNNING, 1))
            if busy and request.strategy != ENQUEUE:
                return again, state
            return self._enqueued(state, process)
        if request.strategy == REJECT:
            return done(with_run(state, index, Run(REFUSED)), process)
        if request.strategy == ENQUEUE:
            if not busy:
                return again, state
            return self._enqueued(state, process)
        if thread.epoch != seen.epoch or thread.active != seen.active or thread.queue != seen.queue:
            return again, state
        return self._usurp(state, process, request.strategy)

    def _enqueued(self, state: State, process: Process) -> tuple[Process, State]:
        index, thread = process.run, state.thread
        after = arrived(with_run(state, index, Run(PENDING)), index)
        after = after._replace(thread=thread._replace(queue=(*thread.queue, index)))
        if self.requests[index].inline and not self.bugs.no_watchdog:
            return done(after, process)  # its waiter polls: its message does as much
        return Process(WAKE, index, message=process.message), after

    def _usurp(self, state: State, process: Process, action: int) -> tuple[Process, State]:
        """Take the thread from its run and put the new one in the place of all that wait."""
        index, thread = process.run, state.thread
        stopped = GONE if action == ROLLBACK else INTERRUPTED
        for waiting in thread.queue:
            state = with_run(state, waiting, state.runs[waiting]._replace(status=stopped))
        state = arrived(with_run(state, index, Run(PENDING)), index)
        if thread.active == NOBODY:
            return Process(WAKE, index), state._replace(thread=thread._replace(queue=(index,)))
        return self._stop(state._replace(thread=thread._replace(queue=(index,))), action)

    def _stop(self, state: State, action: int) -> tuple[Process, State]:
        """Become the driver of the active run, to stop it; who says first how, is heeded."""
        thread = state.thread
        victim = state.runs[thread.active]
        victim = victim._replace(cancel=victim.cancel or action)
        epoch = thread.epoch + 1
        after = with_run(state, thread.active, victim)
        after = after._replace(thread=thread._replace(epoch=epoch, held=True, clean=False))
        return self._driving(thread.active, epoch, clean=False, run=victim, message=NONE), after

    def _cancel(self, state: State, process: Process) -> tuple[Process, State]:
        thread, index = state.thread, process.run
        if process.seen is None:
            return process._replace(seen=thread), state
        again = process._replace(seen=None)
        if state.runs[index].status in FINAL:
            return done(state, process)
        if index in process.seen.queue:
            if index not in thread.queue:
                return again, state
            status = GONE if process.cancel == ROLLBACK else INTERRUPTED
            after = with_run(state, index, state.runs[index]._replace(status=status))
            queue = tuple(other for other in thread.queue if other != index)
            return done(after._replace(thread=thread._replace(queue=queue)), process)
        if thread.epoch != process.seen.epoch or thread.active != index:
            return again, state
        return self._stop(state, process.cancel)

    def _look(self, state: State, process: Process) -> tuple[Process, State]:
        """Read the run; one that is not there may be about to be admitted."""
        run = state.runs[process.run]
        if run.status == NEW and not (process.message == HINT or self.bugs.missing_is_done):
            return done(sent(state, process.run), process)
        if run.status in FINAL or run.status == NEW:
            return done(state, process)
        return process._replace(seen_run=run), state

    def _attend(self, state: State, process: Process) -> Iterator[tuple[bool, Process, State]]:
        """Read the run, read the thread, send a watchdog, claim the run if it is its turn or has no driver."""
        index, thread = process.run, state.thread
        if process.seen_run is None:
            yield True, *self._look(state, process)
            return
        if process.seen is None:
            ends = process.message == HINT or (self.bugs.watchdog_ends and thread.active != NOBODY)
            yield True, process._replace(seen=thread), state if ends else sent(state, index)
            return
        seen, seen_run = process.seen, process.seen_run
        same = thread.epoch == seen.epoch and (self.bugs.stale_run or state.runs[index].attempt == seen_run.attempt)
        begun = seen_run._replace(status=RUNNING, attempt=seen_run.attempt + 1)
        if seen.active == NOBODY and seen.queue[:1] == (index,):
            if same and thread.active == NOBODY and thread.queue[:1] == (index,):
                after = state._replace(thread=thread._replace(queue=thread.queue[1:]))
                yield True, *self._granted(after, process, index, seen, begun)
            else:
                yield True, *done(state, process)
            return
        if seen.active != index:
            yield True, *done(state, process)
            return
        if not (same and thread.active == index):
            yield True, *done(state, process)
            return
        alive = thread.held and any(other.at >= FENCE and other.epoch == thread.epoch for other in state.processes)
        if not alive:
            yield True, *self._granted(state, process, index, seen, begun)
            return
        yield True, *done(state, process)
        if state.mistakes:
            taken = state._replace(mistakes=state.mistakes - 1)
            fair, after = self._granted(taken, process, index, seen, begun)
            yield False, fair, after

    # ------------------------------------------------------------------ drivers

    def _granted(self, state: State, process: Process, index: int, seen: Thread, begun: Run) -> tuple[Process, State]:
        """The lease, for a run that begins or goes on."""
        epoch = state.thread.epoch + 1
        before = state.runs[index]
        after = with_run(state, index, begun._replace(cancel=before.cancel))
        after = after._replace(thread=after.thread._replace(epoch=epoch, held=True, active=index, clean=False))
        if before.status in (NEW, PENDING):
            after = after._replace(started=(*after.started, index))
        if before.status == NEW:
            after = arrived(after, index)
        return self._driving(index, epoch, clean=seen.clean, run=begun, message=process.message), after

    def _driving(self, index: int, epoch: int, *, clean: bool, run: Run, message: int) -> Process:
        at = LOAD if clean or self.bugs.no_fence else FENCE
        resumes = run.attempt > 1
        return Process(at, index, message, epoch=epoch, resumes=resumes, cancel=run.cancel)

    def _drive(self, state: State, process: Process) -> Iterator[tuple[bool, Process, State]]:
        thread, log = state.thread, state.log
        held = thread.held and thread.epoch == process.epoch
        if not held:
            yield True, *done(state, process)  # the heartbeat tells it
        if process.at in (FENCE, LOAD) and log and log[-1].epoch > process.epoch:
            yield True, *done(state, process)
        elif process.at == FENCE:
            after = state._replace(log=(*log, Record(process.run, FENCED, process.epoch)))
            yield True, process._replace(at=LOAD), after
        elif process.at == LOAD:
            yield True, self._loaded(state, process), state
        elif process.cancel == ROLLBACK and process.number >= 0:
            reset = Record(process.run, RESET, process.epoch)
            yield True, *self._put(state, process, reset, STEPS * -1)
        elif process.cancel:
            yield True, *self._settle(state, process, GONE if process.cancel == ROLLBACK else INTERRUPTED)
        elif process.number < STEPS:
            record = Record(process.run, process.number, process.epoch)
            yield True, *self._put(state, process, record, process.number + 1)
        else:
            yield True, *self._settle(state, process, SUCCESS)
        if process.at == STEP and not process.cancel and process.number and state.handoffs and held:
            after = state._replace(thread=thread._replace(held=False, clean=True), handoffs=state.handoffs - 1)
            yield False, Process(WAKE, process.run, process.message), after
            # Cut off in the midst of a super-step, with a write still under way; its wake-up is lost.
            yield False, process, after._replace(thread=thread._replace(held=False))

    def _loaded(self, state: State, process: Process) -> Process:
        history = effective(state.log)
        own = [record.number for record in history if record.run == process.run]
        latest = history[-1].run if history else NOBODY
        begun = process.resumes and latest == process.run
        return process._replace(at=STEP, head=len(state.log), number=own[-1] + 1 if begun else 0)

    def _put(self, state: State, process: Process, record: Record, number: int) -> tuple[Process, State]:
        """Take slot n+1, or learn that somebody else has."""
        if len(state.log) != process.head:
            return done(state, process)
        after = state._replace(log=(*state.log, record))
        return process._replace(head=process.head + 1, number=number), after

    def _settle(self, state: State, process: Process, status: int) -> tuple[Process, State]:
        thread, index = state.thread, process.run
        held = thread.held and thread.epoch == process.epoch
        if self.bugs.settle_without_epoch:
            held = thread.active == index
        if not held:
            return done(state, process)
        after = with_run(state, index, state.runs[index]._replace(status=status))
        after = after._replace(thread=thread._replace(held=False, active=NOBODY, clean=True))
        if thread.queue:
            # its message was about the run that has ended: nothing is lost with it
            return Process(WAKE, thread.queue[0]), after
        return done(after, process)


FINAL = (SUCCESS, INTERRUPTED, GONE, REFUSED)


def order(process: Process) -> tuple[object, ...]:
    """A key that sorts processes, of which parts may be None."""
    return tuple(
        (part is not None, part) if part is None or isinstance(part, tuple) else (True, (part,)) for part in process
    )


def sent(state: State, index: int) -> State:
    """The watchdog of a run is under way."""
    return state._replace(messages=state.messages | {index})


def given_back(state: State, process: Process) -> State:
    """The message of a process that died comes again."""
    if process.message == HINT:
        return state._replace(hints=state.hints | {process.run})
    return sent(state, process.run) if process.message == WATCHDOG else state


def done(state: State, _process: Process) -> tuple[Process, State]:
    """The process has nothing more to do; the message that it held is taken off the queue."""
    return Process(), state


def with_run(state: State, index: int, run: Run) -> State:
    """The state with another item of a run."""
    return state._replace(runs=(*state.runs[:index], run, *state.runs[index + 1 :]))


def arrived(state: State, index: int) -> State:
    """The state in which a run was accepted."""
    return state._replace(arrived=(*state.arrived, index))


def effective(log: tuple[Record, ...]) -> list[Record]:
    """The super-steps that are part of the history."""
    history: list[Record] = []
    for record in log:
        if record.number == RESET:
            history = [other for other in history if other.run != record.run]
        elif record.number != FENCED:
            history.append(record)
    return history
