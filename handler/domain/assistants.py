"""What an assistant becomes when it is created or changed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from handler.domain.models import Assistant, JsonObject
from handler.errors import BadRequest

BOTH_GIVEN = "Cannot specify both configurable and context. Context is the replacement of configurable: give it alone."


@dataclass(frozen=True, slots=True)
class AssistantChanges:
    """What a request says of an assistant; None: nothing."""

    graph_id: str | None = None
    name: str | None = None
    description: str | None = None
    config: JsonObject | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None

    @property
    def settings(self) -> tuple[JsonObject, JsonObject | None]:
        """Config and context, one made from the other where only one is given; BadRequest if both are."""
        config, context = dict(self.config or {}), self.context
        if config.get("configurable") and context:
            raise BadRequest(BOTH_GIVEN)
        if config.get("configurable"):
            context = config["configurable"]
        elif context:
            config["configurable"] = context
        return config, context


def new_assistant(assistant_id: str, changes: AssistantChanges, now: datetime) -> Assistant:
    """The first version of an assistant."""
    config, context = changes.settings
    return Assistant(
        assistant_id=assistant_id,
        graph_id=changes.graph_id or "",
        name=changes.name or "Untitled",
        created_at=now,
        updated_at=now,
        config=config,
        context=context or {},
        metadata=changes.metadata or {},
        description=changes.description,
    )


def changed_by(changes: AssistantChanges) -> Callable[[Assistant], Assistant]:
    """The function that applies changes: metadata are merged key by key at the top level, the rest is replaced."""
    config, context = changes.settings

    def changed(assistant: Assistant) -> Assistant:
        return replace(
            assistant,
            graph_id=assistant.graph_id if changes.graph_id is None else changes.graph_id,
            name=assistant.name if changes.name is None else changes.name,
            description=assistant.description if changes.description is None else changes.description,
            config=config or assistant.config,
            context=assistant.context if context is None else context,
            metadata={**assistant.metadata, **(changes.metadata or {})},
        )

    return changed
