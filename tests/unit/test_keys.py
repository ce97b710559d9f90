"""Keys: what comes from outside cannot spell what keeps tenants and things apart."""

from hypothesis import example, given
from hypothesis import strategies as st

from handler.domain.models import new_run_id
from handler.storage import keys

PART = st.text(alphabet=st.characters(codec="utf-8"), max_size=12) | st.text(alphabet="#%|:TLCRP2F3-", max_size=8)


@given(PART, PART, PART, PART)
@example("a#b", "c", "a", "b#c")
@example("a%23b", "c", "a#b", "c")
@example("acme#t", "", "acme", "t#")
def test_two_threads_share_a_partition_only_if_tenant_and_id_are_the_same(
    tenant: str, thread_id: str, other: str, other_id: str
) -> None:
    same = (tenant, thread_id) == (other, other_id)
    assert (keys.thread_pk(tenant, thread_id) == keys.thread_pk(other, other_id)) is same


@given(PART, PART)
def test_a_partition_key_has_three_parts_whatever_is_in_them(tenant: str, thread_id: str) -> None:
    kind, *parts = keys.thread_pk(tenant, thread_id).split("#")
    assert kind == "T"
    assert [keys.unquoted(part) for part in parts] == [tenant, thread_id]


@given(PART)
def test_quoting_can_be_undone_and_hides_the_separator(part: str) -> None:
    assert keys.unquoted(keys.quoted(part)) == part
    assert "#" not in keys.quoted(part)


@given(PART, PART, PART)
def test_an_index_partition_belongs_to_one_tenant(tenant: str, other: str, thread_id: str) -> None:
    listed = keys.thread_list_pk(tenant, thread_id)
    assert listed in {keys.thread_list_shard(tenant, shard) for shard in range(keys.LISTING_SHARDS)}
    theirs = {keys.thread_list_shard(other, shard) for shard in range(keys.LISTING_SHARDS)}
    assert (listed in theirs) is (tenant == other)


def test_threads_are_spread_over_all_shards() -> None:
    shards = {keys.thread_list_pk("acme", new_run_id()) for _ in range(400)}
    assert len(shards) == keys.LISTING_SHARDS


def test_ids_stay_readable_in_the_console() -> None:
    assert keys.thread_pk("acme", "1b4e28ba-2fa1") == "T#acme#1b4e28ba-2fa1"


def test_runs_their_arguments_and_the_thread_never_meet_under_one_prefix() -> None:
    run_id = new_run_id()
    sorts = [keys.THREAD_SK, keys.run_sk(run_id), keys.payload_sk(run_id, 0)]
    prefixes = [keys.RUN_PREFIX, keys.PAYLOAD_PREFIX, keys.CHECKPOINT_PREFIX]
    held = [[sk for sk in sorts if sk.startswith(prefix)] for prefix in prefixes]
    assert held == [[sorts[1]], [sorts[2]], []]


def test_a_run_id_comes_back_out_of_its_key() -> None:
    run_id = new_run_id()
    assert keys.run_id_of(keys.run_sk(run_id)) == run_id


def test_pieces_of_arguments_sort_in_their_order() -> None:
    pieces = [keys.payload_sk("r", number) for number in range(1_200)]
    assert pieces == sorted(pieces)
    assert all(piece.startswith(keys.payload_prefix("r")) for piece in pieces)


def test_threads_sort_by_time_in_the_index() -> None:
    moments = ["2026-01-02T03:04:05.000001+00:00", "2026-01-02T03:04:05.100000+00:00"]
    first, second = (keys.thread_list_sk(moment, "x") for moment in moments)
    assert first < second


LABEL = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=4) | st.text(
    "#%$&!~a", min_size=1, max_size=4
)
NAMESPACE = st.lists(LABEL, min_size=1, max_size=3).map(tuple)


@given(NAMESPACE, PART, NAMESPACE, PART)
@example(("a",), "b", ("a", "b"), "")
@example(("a",), "#b", ("a", "b"), "")
def test_sort_keys_of_the_store_sort_as_namespaces_do_and_come_back(
    one: tuple[str, ...], key: str, other: tuple[str, ...], other_key: str
) -> None:
    first, second = keys.store_sk(one, key), keys.store_sk(other, other_key)
    assert keys.store_place(first) == (one, key)
    assert (first.encode() < second.encode()) is ((one, key) < (other, other_key))
    assert keys.FIRST_SK < first < keys.LAST_SK


@given(NAMESPACE, PART, NAMESPACE)
def test_a_range_of_the_store_holds_a_namespace_and_what_is_below_it(
    namespace: tuple[str, ...], key: str, prefix: tuple[str, ...]
) -> None:
    sk = keys.store_sk(namespace, key)
    below = keys.store_prefix(prefix) <= sk <= keys.behind_subtree(prefix)
    assert below is (namespace[: len(prefix)] == prefix)
    assert (sk < keys.behind_namespace(namespace)) is True
    assert keys.behind_namespace(namespace) < keys.store_sk((*namespace, "\0"), "")


@given(NAMESPACE, PART, PART)
def test_a_partition_of_the_store_belongs_to_one_tenant_and_is_found_by_every_prefix(
    namespace: tuple[str, ...], tenant: str, other: str
) -> None:
    shard = keys.store_shard(tenant, namespace)
    for length in range(len(namespace) + 1):
        assert shard in keys.store_shards(tenant, namespace[:length])
    assert (shard in keys.store_shards(other, ())) is (tenant == other)
