"""Marks that change hands and undo: the fence of a takeover, the reset of a rollback."""

from collections.abc import Callable, Iterable, Sequence

from handler.storage import checkpoint_statements as statements
from handler.storage.checkpointer.codec import Codec
from handler.storage.checkpointer.log import Log, SlotTaken, adoptable, place_of
from handler.storage.checkpointer.reading import Span, Tail
from handler.storage.checkpointer.records import FENCE, RESET, Entry, number, read_id
from handler.storage.keys import SK, slot_of
from handler.storage.table import Item

RUN_PAGE = 50
"""Items of a page when the first record of a run is looked for."""

Namespaces = dict[str, list[Item]]
"""The keys of a thread's logs, by namespace."""


def fence(root: Log, codec: Codec, namespaces: Callable[[], Namespaces], log_of: Callable[[str], Log]) -> None:
    """Take a thread over: from here on its former driver is refused in every namespace it has written lately.

    ```
    former driver   C4 ── C5 ──────────── C6? refused: slot 6 is the fence
    this one              C5 ── fence 6 ── C7
    ```

    Each fence names the pending writes that it adopts. The root's comes last: where it stands, those of the subgraphs
    do. A namespace that the former driver opens after that has no fence, and an epoch below the root's: see `is_dead`.
    """
    while True:
        tail = root.load(codec, None)
        adopted = adoptable(tail.items)
        since = tail.state.epoch if tail.state else 0
        for namespace, items in namespaces().items():
            if since <= newest_epoch(items) < root.epoch:
                fence_log(log_of(namespace), codec)
        try:
            root.mark(FENCE, tail, place_of(tail), adopted)
        except SlotTaken:
            continue
        return


def fence_log(log: Log, codec: Codec) -> None:
    """Append a fence to one log, after whatever its former writer still managed to append."""
    while True:
        tail = log.load(codec, None)
        try:
            log.mark(FENCE, tail, place_of(tail), adoptable(tail.items))
        except SlotTaken:
            continue
        return


def is_dead(tail: Tail, root: Tail) -> bool:
    """Whether a subgraph's log was written by a driver that was superseded before it opened it."""
    mark = root.mark
    if mark is None or mark.kind != FENCE or not tail.epoch:
        return False
    since = root.state.epoch if root.state else 0
    return since <= tail.epoch < mark.epoch


def rollback(log: Log, codec: Codec, run_id: str) -> None:
    """Make the state before a run's first record the current one again, and its records no part of the history."""
    while True:
        tail = log.load(codec, None)
        target, found = before_run(log.reader.history(Span(limit=RUN_PAGE)), run_id)
        if not found:
            return
        writes = target.writes if target else []
        adopted = adoptable([item for item in writes if read_id(item, statements.RUN) != run_id])
        try:
            log.mark(RESET, tail, target.seq if target else None, adopted)
        except SlotTaken:
            continue
        return


def before_run(history: Iterable[Entry], run_id: str) -> tuple[Entry | None, bool]:
    """The newest entry before a run's own ones at the end of a history, and whether the run has left anything."""
    found = False
    for entry in history:
        if read_id(entry.record, statements.RUN) != run_id:
            return entry, found or any(read_id(item, statements.RUN) == run_id for item in entry.writes)
        found = True
    return None, found


def newest_epoch(items: Sequence[Item]) -> int:
    """The epoch of a log's newest record or mark."""
    records = [item for item in items if not slot_of(item[SK]["S"])[1]]
    return number(records[-1], statements.EPOCH) if records else 0
