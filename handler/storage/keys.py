"""Every key string of the table, and nothing but keys.

| item              | PK                | SK                     |
|-------------------|-------------------|------------------------|
| thread            | T#tenant#thread   | THREAD                 |
| super-step record | same              | C#ns#seq               |
| a record's chunk  | same              | C#ns#seq#K#k           |
| pending writes    | same              | C#ns#seq#W#…           |
| run               | same              | R#run                  |
| a run's arguments | same              | P#run#k                |

The index of threads by time (GSI1): `L#tenant#shard` / `moment#thread`. One partition of an index takes 1,000 writes a
second, so a tenant's threads are spread over LISTING_SHARDS of them.

Tenant and namespace come from outside: they are percent-quoted, so that no value can spell the separator.
"""

import zlib
from urllib.parse import quote, unquote

PK = "PK"
SK = "SK"

THREAD_SK = "THREAD"
RUN_PREFIX = "R#"
PAYLOAD_PREFIX = "P#"
CHECKPOINT_PREFIX = "C#"

LIST_INDEX = "GSI1"
LIST_PK = "GSI1PK"
LIST_SK = "GSI1SK"
LISTING_SHARDS = 4


def quoted(part: str) -> str:
    """Quote one part of a key; letters, digits and `_.-~|:` stay readable."""
    return quote(part, safe="|:")


def unquoted(part: str) -> str:
    """Undo `quoted`."""
    return unquote(part)


def thread_pk(tenant: str, thread_id: str) -> str:
    """Partition of a thread and of all that belongs to it."""
    return f"T#{quoted(tenant)}#{quoted(thread_id)}"


def run_sk(run_id: str) -> str:
    """Sort key of a run on its thread; run ids are time-ordered UUIDs, so runs sort by arrival."""
    return f"{RUN_PREFIX}{run_id}"


def run_id_of(sk: str) -> str:
    """The run id in a run's sort key."""
    return sk.removeprefix(RUN_PREFIX)


def payload_prefix(run_id: str) -> str:
    """What the sort keys of a run's large arguments begin with."""
    return f"{PAYLOAD_PREFIX}{run_id}#"


def payload_sk(run_id: str, number: int) -> str:
    """Sort key of one piece of a run's large arguments."""
    return f"{payload_prefix(run_id)}{number:04d}"


def thread_list_pk(tenant: str, thread_id: str) -> str:
    """Index partition in which a thread is listed."""
    return thread_list_shard(tenant, zlib.crc32(thread_id.encode()) % LISTING_SHARDS)


def thread_list_shard(tenant: str, shard: int) -> str:
    """One of the index partitions over which a tenant's threads are spread."""
    return f"L#{quoted(tenant)}#{shard}"


def thread_list_sk(moment: str, thread_id: str) -> str:
    """Index sort key of a thread: by time of its last change."""
    return f"{moment}#{thread_id}"
