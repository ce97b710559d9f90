"""Every key string of the table, and nothing but keys.

| item              | PK                | SK                     |
|-------------------|-------------------|------------------------|
| thread            | T#tenant#thread   | THREAD                 |
| super-step record | same              | C#ns#seq               |
| a record's chunk  | same              | C#ns#seq#K#name#k      |
| pending writes    | same              | C#ns#seq#W#path#task#n |
| their chunk       | same              | …#K#name#k             |
| newest full one   | same              | B#ns                   |
| run               | same              | R#run                  |
| a run's arguments | same              | P#run#k                |
| a thread's cron   | same              | CRON#cron              |
| cron              | CRON#tenant#shard | CRON#cron              |
| stream events     | same              | E#run#epoch#last       |
| their chunk       | same              | …#k                    |
| whoever follows   | same              | E#run                  |
| idempotency key   | I#tenant#scope#…  | KEY                    |
| expiry            | X#day#shard       | moment#tenant#thread   |
| assistant         | A#tenant          | assistant              |
| its versions      | V#tenant#assistant| version                |
| store item        | S#tenant#shard    | label#label##key       |

The index of threads by time (GSI1): `L#tenant#shard` / `moment#thread`. One partition of an index takes 1,000 writes a
second, so a tenant's threads are spread over LISTING_SHARDS of them.

Tenant and namespace come from outside: they are percent-quoted, so that no value can spell the separator.
"""

import hashlib
import re
import zlib
from collections.abc import Sequence
from urllib.parse import quote, unquote

PK = "PK"
SK = "SK"

THREAD_SK = "THREAD"
IDEMPOTENCY_SK = "KEY"
RUN_PREFIX = "R#"
PAYLOAD_PREFIX = "P#"
CRON_PREFIX = "CRON#"
CHECKPOINT_PREFIX = "C#"
BASE_PREFIX = "B#"
EVENT_PREFIX = "E#"

LIST_INDEX = "GSI1"
LIST_PK = "GSI1PK"
LIST_SK = "GSI1SK"
LISTING_SHARDS = 4
CRON_SHARDS = 4
"""Over how many partitions a tenant's crons are spread: many fire in the same second, at a full hour."""


def quoted(part: str) -> str:
    """Quote one part of a key; letters, digits and `_.-~|:` stay readable."""
    return quote(part, safe="|:")


def unquoted(part: str) -> str:
    """Undo `quoted`."""
    return unquote(part)


def thread_pk(tenant: str, thread_id: str) -> str:
    """Partition of a thread and of all that belongs to it."""
    return f"T#{quoted(tenant)}#{quoted(thread_id)}"


def tenant_prefix(tenant: str) -> str:
    """What the partitions of a tenant's threads start with."""
    return f"T#{quoted(tenant)}#"


def thread_of(pk: str) -> str:
    """The thread that a partition is of."""
    return unquoted(pk.rpartition("#")[2])


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


def follow_sk(run_id: str) -> str:
    """Sort key of the mark that somebody elsewhere follows a run's stream; before all its events."""
    return f"{EVENT_PREFIX}{run_id}"


def events_prefix(run_id: str) -> str:
    """What the sort keys of a run's stream events begin with."""
    return f"{EVENT_PREFIX}{run_id}#"


def events_sk(run_id: str, epoch: int, number: int) -> str:
    """Sort key of a batch of stream events: by the last of them, so that what follows an event is one range."""
    return f"{events_prefix(run_id)}{epoch:014d}#{number:010d}"


def events_end_sk(run_id: str) -> str:
    """A sort key behind all stream events of a run."""
    return f"{EVENT_PREFIX}{run_id}#:"


def events_chunk_sk(sk: str, number: int) -> str:
    """Sort key of a further piece of a batch that is too large for one item; behind the batch, before the next."""
    return f"{sk}#{number:04d}"


def events_of(sk: str) -> tuple[int, int, int]:
    """Epoch, last number and piece (0: the batch itself) that the sort key of stream events names."""
    _, _, epoch, number, *piece = sk.split("#")
    return int(epoch), int(number), int(piece[0]) if piece else 0


def idempotency_pk(tenant: str, scope: str, key: str) -> str:
    """Partition of an idempotency key; the key is hashed, for it may be long."""
    return f"I#{quoted(tenant)}#{quoted(scope)}#{hashlib.sha256(key.encode()).hexdigest()}"


def cron_pk(tenant: str, cron_id: str) -> str:
    """Partition of a cron."""
    return cron_shard(tenant, zlib.crc32(cron_id.encode()) % CRON_SHARDS)


def cron_shard(tenant: str, shard: int) -> str:
    """One of the partitions over which a tenant's crons are spread."""
    return f"{CRON_PREFIX}{quoted(tenant)}#{shard}"


def cron_sk(cron_id: str) -> str:
    """Sort key of a cron, and of its mark on its thread."""
    return f"{CRON_PREFIX}{cron_id}"


def cron_id_of(sk: str) -> str:
    """The cron id in a cron's sort key."""
    return sk.removeprefix(CRON_PREFIX)


def thread_list_pk(tenant: str, thread_id: str) -> str:
    """Index partition in which a thread is listed."""
    return thread_list_shard(tenant, zlib.crc32(thread_id.encode()) % LISTING_SHARDS)


def thread_list_shard(tenant: str, shard: int) -> str:
    """One of the index partitions over which a tenant's threads are spread."""
    return f"L#{quoted(tenant)}#{shard}"


def thread_list_sk(moment: str, thread_id: str) -> str:
    """Index sort key of a thread: by time of its last change."""
    return f"{moment}#{thread_id}"


EXPIRY_PREFIX = "X#"


def expiry_pk(day: str, shard: int) -> str:
    """Partition of the expiries of a day."""
    return f"{EXPIRY_PREFIX}{day}#{shard}"


def expiry_shard(thread_id: str) -> int:
    """In which of a day's partitions the expiry of a thread is."""
    return zlib.crc32(thread_id.encode()) % LISTING_SHARDS


def expiry_sk(moment: str, tenant: str, thread_id: str) -> str:
    """Sort key of the expiry of a thread."""
    return f"{moment}#{quoted(tenant)}#{quoted(thread_id)}"


def expiring_thread(sk: str) -> tuple[str, str]:
    """Tenant and thread in the sort key of an expiry."""
    _, tenant, thread_id = sk.split("#")
    return unquoted(tenant), unquoted(thread_id)


CHECKPOINTS_FIRST = CHECKPOINT_PREFIX
CHECKPOINTS_LAST = "C$"
"""The sort keys between which all of a thread's checkpoints are."""

SEQUENCE_DIGITS = 10
CHUNK_MARK = "#K#"
WRITES_MARK = "#W#"
PATH_LENGTH = 400
"""Characters of a task's path in a key; a longer path is cut there, and the task id still makes the key unique."""


def log_prefix(namespace: str) -> str:
    """What the sort keys of a namespace's log start with."""
    return f"{CHECKPOINT_PREFIX}{quoted(namespace)}#"


def log_namespace(sk: str) -> str:
    """The namespace that a sort key of a log names."""
    return unquoted(sk.split("#", 2)[1])


def record_sk(namespace: str, seq: int) -> str:
    """Sort key of the record with this sequence number."""
    return f"{log_prefix(namespace)}{seq:0{SEQUENCE_DIGITS}d}"


def slot_end_sk(namespace: str, seq: int) -> str:
    """A sort key behind the record with this sequence number and all that belongs to it."""
    return f"{record_sk(namespace, seq)}$"


def slot_items_sk(namespace: str, seq: int) -> str:
    """A sort key behind the record with this sequence number, before all else that belongs to it."""
    return f"{record_sk(namespace, seq)}#"


def base_sk(namespace: str) -> str:
    """Sort key of the pointer to the newest full record of a namespace's log."""
    return f"{BASE_PREFIX}{quoted(namespace)}"


def log_end_sk(namespace: str) -> str:
    """A sort key behind a namespace's log."""
    return f"{log_prefix(namespace)}:"


def chunk_sk(sk: str, name: str, number: int) -> str:
    """Sort key of a chunk of the item with this sort key; a name belongs to one attempt to write it."""
    return f"{sk}{CHUNK_MARK}{name}#{number:04d}"


def writes_sk(namespace: str, seq: int, path: str, task_id: str, epoch: int, number: int) -> str:
    """Sort key of pending writes: in task-path order, then by task, then in the order in which they were put."""
    part = f"{quoted(path)[:PATH_LENGTH]}#{quoted(task_id)}#{epoch:014d}{number:06d}"
    return f"{record_sk(namespace, seq)}{WRITES_MARK}{part}"


def writes_number(sk: str) -> int:
    """The number in the sort key of pending writes."""
    return int(sk[-6:])


def slot_of(sk: str) -> tuple[int, str]:
    """The sequence number in a sort key of a log, and what follows it ("" for the record itself)."""
    number, mark, rest = sk.split("#", 2)[2].partition("#")
    return int(number), mark + rest


def assistants_pk(tenant: str) -> str:
    """Partition of a tenant's assistants."""
    return f"A#{quoted(tenant)}"


def assistant_versions_pk(tenant: str, assistant_id: str) -> str:
    """Partition of the versions of an assistant."""
    return f"V#{quoted(tenant)}#{quoted(assistant_id)}"


def assistant_version_sk(version: int) -> str:
    """Sort key of a version of an assistant."""
    return f"{version:0{SEQUENCE_DIGITS}d}"


STORE_SHARDS = 8
"""Over how many partitions a tenant's store is spread, by the first two labels of the namespace."""

SHARDING_LABELS = 2
"""How many labels a prefix must have for all that is below it to lie in one partition."""

FIRST_SK = "!"
"""A sort key before every other."""

LAST_SK = "\U0010ffff"
"""A sort key behind every other."""


def store_shard(tenant: str, namespace: Sequence[str]) -> str:
    """Partition of the items of a namespace."""
    head = "#".join(ordered(label) for label in namespace[:SHARDING_LABELS])
    return f"S#{quoted(tenant)}#{zlib.crc32(head.encode()) % STORE_SHARDS}"


def store_shards(tenant: str, prefix: Sequence[str]) -> list[str]:
    """The partitions in which there may be items below a prefix."""
    if len(prefix) >= SHARDING_LABELS:
        return [store_shard(tenant, prefix)]
    return [f"S#{quoted(tenant)}#{shard}" for shard in range(STORE_SHARDS)]


def ordered(part: str) -> str:
    """A label or key in a sort key: what sorts before `&` is quoted, so that sort keys sort as tuples of labels do."""
    return re.sub(r"[\x00-%]", lambda found: f"%{ord(found.group()):02X}", part)


def store_prefix(namespace: Sequence[str]) -> str:
    """What the sort keys of all that is in a namespace or below it start with."""
    return "".join(f"{ordered(label)}#" for label in namespace)


def store_sk(namespace: Sequence[str], key: str) -> str:
    """Sort key of a store item."""
    return f"{store_prefix(namespace)}#{ordered(key)}"


def behind_namespace(namespace: Sequence[str]) -> str:
    """A sort key behind a namespace's own items, before those of the namespaces below it."""
    return f"{store_prefix(namespace)}$"


def behind_subtree(namespace: Sequence[str]) -> str:
    """A sort key behind all that is in a namespace or below it."""
    return f"{store_prefix(namespace)[:-1]}$" if namespace else LAST_SK


def store_place(sk: str) -> tuple[tuple[str, ...], str]:
    """Namespace and key that a store item's sort key names."""
    path, _, key = sk.partition("##")
    return tuple(unquoted(label) for label in path.split("#")), unquoted(key)
