"""The bodies of requests about assistants, and how a version of one is shown."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictInt, StrictStr

from handler.api.schemas import MAX_ROWS, Body, ConfigBody, JsonDict
from handler.domain.assistants import AssistantChanges
from handler.domain.models import Assistant, JsonObject


class AssistantConfigBody(ConfigBody):
    """The config of an assistant; keys that LangChain does not know are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class AssistantPatchBody(Body):
    """Changes of an assistant; what is not named stays."""

    graph_id: StrictStr = ""
    config: AssistantConfigBody = Field(default_factory=AssistantConfigBody)
    context: JsonDict = Field(default_factory=dict)
    metadata: JsonDict = Field(default_factory=dict)
    name: StrictStr = ""
    description: StrictStr | None = None

    def changes(self) -> AssistantChanges:
        """What the body names."""
        named: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set & PATCHED}
        if "config" in named:
            named["config"] = self.config.model_dump(exclude_unset=True)
        if "metadata" in named:
            named["metadata"] = own_metadata(self.metadata)
        return AssistantChanges(**named)


PATCHED = frozenset(AssistantPatchBody.model_fields)


class AssistantCreateBody(AssistantPatchBody):
    """A new assistant."""

    graph_id: StrictStr = Field(description="The graph that it configures.")
    assistant_id: StrictStr = ""
    if_exists: Literal["raise", "do_nothing"] = "raise"


class AssistantCountBody(Body):
    """Which assistants to count."""

    metadata: JsonDict = Field(default_factory=dict)
    graph_id: StrictStr | None = None
    name: StrictStr | None = None


class AssistantVersionsBody(Body):
    """Which versions of an assistant to list."""

    metadata: JsonDict = Field(default_factory=dict)
    limit: Annotated[StrictInt, Field(ge=1, le=MAX_ROWS)] = 10
    offset: Annotated[StrictInt, Field(ge=0)] = 0


class AssistantLatestBody(Body):
    """Which version of an assistant is to be in force."""

    version: StrictInt


def own_metadata(metadata: JsonObject) -> JsonObject:
    """Metadata without the name that is not the caller's to set."""
    return {name: value for name, value in metadata.items() if name != "assistant_id"}


def shown_version(assistant: Assistant) -> JsonObject:
    """A version of an assistant as the API shows it."""
    return {
        "assistant_id": assistant.assistant_id,
        "version": assistant.version,
        "graph_id": assistant.graph_id,
        "config": assistant.config,
        "context": assistant.context,
        "metadata": assistant.metadata,
        "created_at": assistant.updated_at.isoformat(),
        "name": assistant.name,
        "description": assistant.description,
    }
