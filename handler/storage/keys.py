"""Every key string of the table, and nothing but keys.

| item              | PK                | SK                     |
|-------------------|-------------------|------------------------|
| thread            | T#tenant#thread   | THREAD                 |
| super-step record | same              | C#ns#seq               |
| a record's chunk  | same              | C#ns#seq#K#k           |
| pending writes    | same              | C#ns#seq#W#…           |
| run               | same              | R#run                  |

Tenant and namespace come from outside: they are percent-quoted, so that no value can spell the separator.
"""

from urllib.parse import quote, unquote

PK = "PK"
SK = "SK"

THREAD_SK = "THREAD"
RUN_PREFIX = "R#"
CHECKPOINT_PREFIX = "C#"


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
