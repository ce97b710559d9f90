"""The arguments of runs: in the run's item, or in pieces beside it where they are large; nobody else knows where.

The run's item says how many pieces there are, so whoever ends a run knows their keys, and asks for none where there
are none.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from handler.domain.models import JsonObject, Run
from handler.errors import AlreadyAccepted, PayloadTooLarge, RunNotFound, StorageUnavailable, ThreadNotFound
from handler.storage import keys, statements
from handler.storage.items import json_packed, number, run_key, unpacked
from handler.storage.table import Item, Table

INLINE_BYTES = 200_000
"""Packed arguments up to this size stand in the run's item; larger ones in pieces of this size, written before."""

MAX_ARGUMENT_BYTES = 20_000_000
"""Packed arguments above this size are refused."""

REFUSALS = (AlreadyAccepted, PayloadTooLarge, ThreadNotFound)
"""Errors that say that a run was not accepted; after any other it may have been."""


class RunArguments:
    """Writes, reads and forgets the arguments of runs."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def write(self, run: Run) -> tuple[Run, Item]:
        """Store what is too large for the run's item; the run, which knows its pieces, and what its item holds."""
        packed = json_packed(run.kwargs)
        data: bytes = packed["B"]
        if len(data) <= INLINE_BYTES:
            return replace(run, pieces=0), {"kwargs": packed}
        if len(data) > MAX_ARGUMENT_BYTES:
            raise PayloadTooLarge(f"the run's arguments are larger than {MAX_ARGUMENT_BYTES} bytes when compressed")
        starts = range(0, len(data), INLINE_BYTES)
        run = replace(run, pieces=len(starts))
        for key, start in zip(piece_keys(run), starts, strict=True):
            self.table.put({"Item": {**key, "data": {"B": data[start : start + INLINE_BYTES]}}})
        return run, {"pieces": number(run.pieces)}

    def read(self, tenant: str, thread_id: str, item: Item) -> JsonObject:
        """The arguments of the run with this item; RunNotFound if they went meanwhile, and the run with them."""
        if "kwargs" in item:
            data: bytes = item["kwargs"]["B"]
        else:
            run_id = keys.run_id_of(item[keys.SK]["S"])
            pieces = self.table.query(statements.query_prefix(tenant, thread_id, keys.payload_prefix(run_id)))
            data = b"".join(piece["data"]["B"] for piece in pieces)
            if not data:
                raise RunNotFound(run_id)
        kwargs: JsonObject = unpacked(data)
        return kwargs

    def forget(self, *runs: Run | None) -> None:
        """Delete the pieces of runs that are gone or were refused; what is left of them goes with the thread."""
        with suppress(StorageUnavailable):  # the runs are gone all the same
            self.table.batch_delete([key for run in runs if run for key in piece_keys(run)])

    @contextmanager
    def forgotten_if_refused(self, run: Run | None) -> Iterator[None]:
        """Forget the arguments of a run, if there is one, when an error says that it was not accepted."""
        try:
            yield
        except REFUSALS:
            self.forget(run)
            raise


def piece_keys(run: Run) -> list[Item]:
    """The keys of a run's pieces."""
    key = run_key(run.tenant, run.thread_id, run.run_id)
    return [{**key, keys.SK: {"S": keys.payload_sk(run.run_id, index)}} for index in range(run.pieces)]
