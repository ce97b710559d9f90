"""The cache is bounded in bytes and never goes back."""

from dataclasses import replace

from handler.storage.checkpointer.cache import StateCache
from handler.storage.checkpointer.state import State, Value

STATE = State(
    seq=1,
    epoch=0,
    id="c1",
    parent=None,
    run_id=None,
    fields={},
    other=None,
    metadata=("msgpack", b""),
    versions={},
    seen={},
    channels={"text": Value("bytes", b"x" * 10_000)},
    base=1,
    weight=0,
    ratio=1.0,
    measured=0,
)


def key(thread: str) -> tuple[str, str, str]:
    return ("tenant", thread, "")


def test_the_least_recently_used_state_makes_room() -> None:
    cache = StateCache(3 * STATE.footprint)
    for thread in "abc":
        cache.put(key(thread), STATE)
    assert cache.get(key("a")) is STATE
    cache.put(key("d"), STATE)
    assert cache.get(key("b")) is None
    assert cache.get(key("a")) is STATE
    assert cache.bytes == 3 * STATE.footprint


def test_a_state_larger_than_the_cache_is_not_kept() -> None:
    cache = StateCache(STATE.footprint - 1)
    cache.put(key("a"), STATE)
    assert cache.get(key("a")) is None
    assert cache.bytes == 0


def test_a_late_reader_does_not_replace_a_newer_state() -> None:
    cache = StateCache(3 * STATE.footprint)
    newer = replace(STATE, seq=2)
    cache.put(key("a"), newer)
    cache.put(key("a"), STATE)
    assert cache.get(key("a")) is newer


def test_what_was_dropped_takes_no_room() -> None:
    cache = StateCache(3 * STATE.footprint)
    cache.put(key("a"), STATE)
    cache.drop(key("a"))
    cache.drop(key("never put"))
    assert cache.bytes == 0
