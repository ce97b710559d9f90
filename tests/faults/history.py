"""What many clients did to threads, held against the history that came of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from handler.api.services import Services
from handler.domain.models import Run, Thread

STEPS = 3
"""How many entries each run of the log graph appends, one each super-step."""


@dataclass
class Tally:
    """What became of the accepted runs, and every way in which that is wrong."""

    statuses: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def tally(runs: Mapping[str, Run | None], thread: Thread | None, entries: Iterable[str]) -> Tally:
    """Hold the accepted runs of one thread (by their name; None: gone) against its log.

    A success has all its entries, an interrupted run the first few, a run that is gone none; each is there once, and
    the entries of one run stand together.
    """
    found = Tally()
    logged: dict[str, list[int]] = {}
    turns: list[str] = []
    for entry in entries:
        name, _, number = entry.rpartition("-")
        logged.setdefault(name, []).append(int(number))
        if turns[-1:] != [name]:
            turns.append(name)
    if len(turns) != len(set(turns)):
        found.violations.append(f"two runs at one time: {turns}")
    if thread is None or thread.busy:
        found.violations.append(f"thread is busy: {thread}")
    for name, run in runs.items():
        status = run.status.value if run else "gone"
        found.statuses[status] += 1
        own = logged.pop(name, [])
        if own != list(range(len(own))):
            found.violations.append(f"{name} ({status}) has entries {own}")
        elif (status == "success" and len(own) != STEPS) or (status == "gone" and own):
            found.violations.append(f"{name} ({status}) has {len(own)} entries")
        elif status not in ("success", "interrupted", "gone"):
            found.violations.append(f"{name} is {status}: {run.error if run else None}")
    found.violations += [f"{name} was never accepted and has entries {own}" for name, own in logged.items()]
    return found


def entries_of(services: Services, thread: Thread) -> list[str]:
    """The log of a thread, read as the API reads it."""
    state = services.loop.submit(services.states.state(thread)).result()
    logged: list[str] = state["values"].get("entries", [])
    return logged
