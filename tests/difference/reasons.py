"""The differences from the reference that are meant, each with its reason; docs/compatibility.md shows them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.difference.comparison import Difference


@dataclass(frozen=True)
class Reason:
    """Why answers may differ; the patterns are regular expressions that have to match as a whole."""

    text: str
    at: str
    """Where: `status`, `header.NAME`, `calls` or `body.…`."""
    scenarios: str = ".*"
    """Which scenarios: `area: name`."""
    always: bool = True
    """Whether it is seen in every run: not what hangs on which server is quicker."""

    def explains(self, difference: Difference) -> bool:
        """Whether a difference is meant."""
        return bool(re.fullmatch(self.at, difference.at) and re.fullmatch(self.scenarios, difference.scenario))


OWN_CONFIGURABLE = "langgraph_.*|__.*|run_id|thread_id|graph_id|assistant_id|user_id"
"""What the reference's server adds to `configurable` for itself."""

PLATFORM = "langgraph_(version|api_version|plan|host|api_url|auth_user_id|request_id)"
"""What the reference's server adds to metadata about itself."""

REASONS: tuple[Reason, ...] = (
    # What is shown of runs and threads.
    Reason(
        "A run shows its attempt, hand-offs, start, end and error as well.",
        r"body(\[\])?\.(attempt|handoffs|started_at|ended_at|error)",
        "(runs|wait|stateless|sdk|javascript|streaming|assistants): .*",
    ),
    Reason("There is no LangSmith session.", r"body(\[\])?\.langsmith_session_name"),
    Reason(
        "`kwargs` of a run hold what the caller gave, not what the server adds to `configurable`.",
        rf"body(\[\])?\.kwargs\.config\.configurable\.({OWN_CONFIGURABLE})",
    ),
    Reason(
        "`kwargs` of a run hold what the caller gave, not what the server adds to metadata.",
        r"body(\[\])?\.kwargs\.config\.metadata(\..*)?",
    ),
    Reason(
        "`kwargs` of a run name the options by their names in the API.",
        r"body(\[\])?\.kwargs\.(context|webhook|feedback_keys|resumable|checkpoint_during|checkpoint|on_disconnect"
        r"|on_completion|durability|stream)",
    ),
    Reason(
        "A thread shows `interrupts` once it has run; the reference not where its only run got no input.",
        r"body\.interrupts",
        "(wait: given|streaming: default mode): (nothing|null|no input)",
    ),
    Reason("Where `interrupts` of threads are selected, they are there also if empty.", r"body\[\]\.interrupts"),
    Reason(
        "A thread shows its last run's config, up to 2 KB and without `configurable`: that is in the run's `kwargs`.",
        r"body(\[\])?\.config\.(configurable(\..*)?|tags|recursion_limit|metadata)",
        "(?!crons).*",
    ),
    Reason(
        "A run on a thread that it makes names its graph in its metadata, as every run does.",
        r"body(\[\])?\.metadata\.graph_id",
        "(runs: create with a thread|stateless: .*|(sdk|javascript: program): runs without a thread)",
    ),
    Reason(
        "A copy shows `values` as any thread without a run does: null.",
        r"body\.values",
        "(threads: copy .*|sdk: threads|javascript: program: thread is copied)",
    ),
    Reason(
        "Super-steps that cannot be applied are 400 and make no thread; the reference answers 201 with a detail.",
        "status",
        "threads: create: supersteps without a graph",
    ),
    Reason(
        "A ttl is kept, and shown to those who ask; the reference in memory has none.",
        r"body\.ttl",
        "threads: read with ttl",
    ),
    Reason(
        "A ttl that says how a thread goes and not when is 422, unless langgraph.json has a default; the reference in "
        "memory passes over it.",
        r"status",
        "threads: .*: ttl without minutes",
    ),
    Reason(
        "A state cannot be changed at a checkpoint that is not there; the reference begins a branch from nothing.",
        r"status|body\..*",
        "state: update: (unknown checkpoint|checkpoint_id no UUID)",
    ),
    Reason(
        "`values` are compared also where threads have none; the reference fails with 500.",
        "status",
        "threads: (search|count): values.*",
    ),
    Reason(
        "Metadata and values filter as Postgres' `@>`: lists by their elements, and `true` is not 1; the reference in "
        "memory compares lists as a whole, and takes `true` for 1.",
        r"header\.x-pagination-total|body\.length",
        "(threads|crons): search: metadata (true for 1|of a part of a list)",
    ),
    Reason(
        "`keep_latest` is done; the reference in memory cannot.",
        r"status|body\.length",
        "threads: prune: keep latest",
    ),
    # What is shown of the server.
    Reason("Metadata do not describe the server.", rf"body.*\.{PLATFORM}"),
    Reason(
        "`configurable` does not carry the server's own objects.",
        r"body.*\.configurable\.(langgraph_auth_.*|__.*)",
    ),
    Reason(
        "`/info` names this server's version, graphs and flags.",
        r"body\.(version|flags|host|graphs|metadata)(\..*)?",
        "system: info.*",
    ),
    # Checkpoints.
    Reason(
        "Metadata of a checkpoint do not repeat where it is: LangGraph's own checkpointers leave that out.",
        r"body.*\.metadata\.(checkpoint_id|checkpoint_ns|checkpoint_map|langgraph_(step|node|triggers|path|checkpoint_ns))",
    ),
    Reason(
        "Metadata of a checkpoint in a stream do not repeat its thread.",
        r"body\[\]\.data\.(payload\.)?metadata\.thread_id",
        "streaming: interrupt in mode: .*",
    ),
    Reason(
        "A checkpoint always names its namespace.", r"body\.checkpoint\.checkpoint_ns", "(state|sdk|javascript): .*"
    ),
    Reason(
        "`select` leaves of a state what it names, as the SDKs say, and is 422 for what no state has; the reference "
        "shows all.",
        r"status|body(\[\]|\.length)?(\..*)?",
        "state: select: .*",
    ),
    Reason(
        "A checkpoint's id is checked wherever one is given.",
        "status",
        "state: state at a checkpoint that is not there: no UUID",
    ),
    Reason(
        "`before` may be a checkpoint, as the reference's own document says; it fails with 500.",
        "status",
        "(state: history before a checkpoint object|sdk: state and history)",
    ),
    # Graphs, and what they see.
    Reason(
        "A run that names an unknown checkpoint says so, where the reference misses the input.",
        r"body\.__error__\.message",
        "wait: checkpoint: unknown",
    ),
    Reason(
        "A graph from a function sees what any graph sees; the reference copies `configurable` to its metadata and"
        " sets a recursion limit.",
        r"body.*\.(seen_metadata\..*|seen_limit)",
    ),
    Reason(
        "All of a context stands in `configurable`, not only what the context's schema names.",
        r"body\.seen_configurable\.zzz",
        "wait: context: unknown fields",
    ),
    Reason(
        "`langsmith_tracer` is refused by name; the reference passes over it where nothing is traced.",
        r"status|body(\..*)?",
        "wait: page above the reference: langsmith_tracer",
    ),
    Reason(
        "Unknown fields of `config` are ignored; the reference moves them to `configurable`.",
        r"body\.seen\.configurable\.zzz",
        "wait: config: an unknown field",
    ),
    Reason(
        "A jump on an interrupted thread answers as `graph.invoke` does: with what its nodes wrote.",
        r"body\.done",
        "wait: command: a jump.*",
    ),
    Reason(
        "A command of nothing but nulls is none; the reference fails.",
        r"body\..*",
        "wait: command: nothing but nulls",
    ),
    Reason(
        "A command on a thread without state starts the graph; the reference fails with a TypeError.",
        r"body\..*",
        "(wait: resume of a thread that never ran|stateless: wait: updates)",
    ),
    Reason(
        "A wait answers with the same values whatever the stream mode, and names an interrupt once.",
        r"body\..*",
        "wait: stream mode: .*",
    ),
    # Where the API's page stands above the reference.
    Reason(
        "null for an optional field counts as absent.",
        "status|calls",
        ".*: (.* null|null|.* that is null|optional fields null|null fields)",
    ),
    Reason(
        "A bare node name stands for a list of one; the reference refuses it.",
        ".*",
        "wait: breakpoint stops: before a bare node",
    ),
    # Runs.
    Reason("A background run is answered with `Location`, as a wait is.", r"header\.location", "(runs|stateless): .*"),
    Reason("A join answers with the run's own values.", r"body\..*", "runs: join of an earlier run"),
    Reason(
        "A run or thread that is not there cannot be joined: 404.",
        "status",
        "(runs: join of what is not there|streaming: run that is not there is joined).*",
    ),
    Reason(
        "A cancel that waits answers `{}`; the reference at times with the values so far.",
        r"body\..*",
        "runs: cancel that .*",
        always=False,
    ),
    Reason("What is checked first differs.", "status", "runs: cancel of a finished run"),
    Reason("A deleted run leaves the state as it is.", r"body\..*", "runs: delete of a finished run"),
    Reason("A negative limit is refused.", "status", "(runs: list of runs|store: search): limit negative"),
    Reason(
        "A run may have started when its creation is answered, or not.",
        r"body(\[\])?\.(status|updated_at)",
        "(stateless: (batch|create)|runs: create|sdk: runs|javascript: program: (run|second run|stream is joined)).*",
        always=False,
    ),
    Reason(
        "Nothing is left of a run that is rolled back; of the reference's a checkpoint, if it is just being written.",
        r"body.*",
        "runs: second run rolls the first back",
        always=False,
    ),
    Reason(
        "A run that is rolled back is gone once its cancel is answered; the reference's a moment later.",
        "status",
        "javascript: program: run is rolled back",
        always=False,
    ),
    Reason(
        "What was written after the one of two interrupts that was answered is among the values, as in the state.",
        r"body\.(values\.)?answers\.length",
        "wait: two interrupts are answered one by one",
    ),
    # Streams.
    Reason(
        "Metadata of models name the version of langchain-core that each server has installed.",
        r"body.*\.lc_versions\.langchain-core",
        always=False,
    ),
    Reason(
        "The address of a stream says how it is to go on: its modes, and whether a hang-up cancels.",
        r"header\.location",
        "(streaming|stateless): .*",
    ),
    Reason(
        "Every event has an id, so that a stream in slices is resumed.", r"body\[\]\.id", "(streaming|stateless): .*"
    ),
    Reason(
        "A run without a thread of the caller's is named with its thread.", r"header\.content-location", "stateless: .*"
    ),
    # Streams of whole threads.
    Reason(
        "Messages among the values are whole, as they are in the state; the reference shortens them.",
        r"body\.values\[\]\.params\.data\.messages\[\]\.(name|additional_kwargs|response_metadata|usage_metadata"
        r"|tool_calls|invalid_tool_calls)",
        "thread streams: values .*",
    ),
    Reason(
        "An interrupt has its `value` besides `payload`: the Python SDK reads that.",
        r"body\.input\.requested\[\]\.params\.data\.value",
        "thread streams: values .*",
    ),
    Reason("A run that fails says why.", r"body\.lifecycle\[\]\.params\.data\.error", "thread streams: .*: a failure"),
    Reason(
        "The end of a subgraph names its namespace as its beginning does.",
        r"body\.lifecycle\[\]\.params\.data\.namespace",
        "thread streams: (lifecycle|values|messages) .*",
    ),
    Reason(
        "A command that asks for what is not there is `invalid_argument`, not `unknown_error`.",
        r"body\.error",
        "thread streams: command refused: an unknown assistant( id)?",
    ),
    Reason(
        "`multitaskStrategy` is checked.",
        r"body\..*",
        "thread streams: command refused: an unknown strategy",
    ),
    Reason(
        "What the protocol knows and this server does not is `not_supported`; subscriptions are requests of their own.",
        r"body\..*",
        "thread streams: command refused: (a tree|a state|an input|a subscription.*)",
    ),
    Reason(
        "What is no JSON, no UUID, or of another type is 422 everywhere.",
        "status",
        "thread streams: (command that is no json|command on a thread that is not there: no UUID"
        "|channels refused: (no texts|namespaces)|thread that is not there: no UUID)",
    ),
    Reason(
        "A thread that is not there has no stream: 404.",
        "status",
        "thread streams: thread that is not there: unknown",
    ),
    # Assistants and store.
    Reason(
        "The assistant of a graph cannot be deleted: 409.",
        "status",
        "assistants: assistant of a graph is not deleted",
    ),
    Reason(
        "A version that is set is the one that runs.",
        r"body\..*",
        "assistants: version that is latest is run",
    ),
    Reason(
        "A version that is missing in the body is 422.",
        "status",
        "assistants: versions are listed and set",
    ),
    Reason(
        'Every error is `{"detail": "…"}`; the reference answers some of the store\'s as text.',
        r"(header\.content-type|body|body\.detail|body\.code|body\.message|body\.error)",
        "store: (put is refused|get|delete is refused|search is refused).*",
    ),
    Reason(
        "A namespace goes with its last item; the reference's store in memory keeps listing it.",
        r"body\.namespaces\.length",
        "store: namespace is gone with its last item",
    ),
    # Crons.
    Reason(
        "What a cron cannot be made of is 422: a time that is none, a schedule that never comes, an unknown name.",
        "status",
        "crons: create(: an end that is no time|: a schedule that never comes|: an unknown assistant"
        "| without an assistant)",
    ),
    # What neither serves.
    Reason(
        "What is known by name and not served is 501.",
        "status",
        "state: patch of the state is not served",
    ),
)


def explained(difference: Difference, reasons: Iterable[Reason] = REASONS) -> Reason | None:
    """The first reason for a difference; None if it has none."""
    return next((one for one in reasons if one.explains(difference)), None)
