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

    def explains(self, difference: Difference) -> bool:
        """Whether a difference is meant."""
        return bool(re.fullmatch(self.at, difference.at) and re.fullmatch(self.scenarios, difference.scenario))


OWN_CONFIGURABLE = "langgraph_.*|__.*|run_id|thread_id|graph_id|assistant_id|user_id"
"""What the reference's server adds to `configurable` for itself."""

PLATFORM = "langgraph_(version|api_version|plan|host|api_url|auth_user_id|request_id)"
"""What the reference's server adds to metadata about itself."""

REASONS: tuple[Reason, ...] = (
    Reason(
        "A run shows its attempt, hand-offs, start, end and error as well.",
        r"body(\[\])?\.(attempt|handoffs|started_at|ended_at|error)",
        "(runs|wait|stateless|sdk|streaming|assistants): .*",
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
        "`kwargs` of a run name the options under the names of the API.",
        r"body(\[\])?\.kwargs\.(context|webhook|feedback_keys|resumable|checkpoint_during|checkpoint|on_disconnect"
        r"|on_completion|durability)",
    ),
    Reason(
        "Metadata of checkpoints do not describe the server.",
        rf"body.*\.(metadata|seen_metadata|configurable|seen_configurable)\.({PLATFORM})",
    ),
    Reason("A thread shows `error` and `interrupts` from the start.", r"body(\[\])?\.(error|interrupts)"),
    Reason("A background run is answered with `Location`, as a wait is.", r"header\.location", "(runs|stateless): .*"),
    Reason(
        "`/info` names this server's version, graphs and flags.",
        r"body\.(version|flags|host|graphs|metadata|langgraph_js_version)(\..*)?",
        "system: info.*",
    ),
    Reason("A join answers with the run's own values.", r"body\..*", "runs: join of an earlier run"),
    Reason("A run or thread that is not there cannot be joined.", "status", "runs: join of what is not there.*"),
    Reason(
        "null for an optional field counts as absent.",
        "status|calls",
        ".*: (.* null|null|.* that is null|optional fields null|null fields)",
    ),
    Reason("A bare node name stands for a list of one.", "status", "wait: breakpoint stops: before a bare node"),
    Reason("A deleted run leaves the state as it is.", r"body\..*", "runs: delete of a finished run"),
)


def explained(difference: Difference, reasons: Iterable[Reason] = REASONS) -> Reason | None:
    """The first reason for a difference; None if it has none."""
    return next((one for one in reasons if one.explains(difference)), None)
