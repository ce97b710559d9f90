"""Assistants: each graph of langgraph.json has its system assistant, the same for every tenant."""

from collections.abc import Sequence
from datetime import datetime

from handler.domain.models import Assistant, system_assistant_id


class SystemAssistants:
    """The port `AssistantStore` over the graphs' names."""

    def __init__(self, graphs: dict[str, str | None], since: datetime) -> None:
        self._by_id = {
            assistant.assistant_id: assistant
            for assistant in (
                Assistant(
                    assistant_id=system_assistant_id(name),
                    graph_id=name,
                    name=name,
                    created_at=since,
                    updated_at=since,
                    metadata={"created_by": "system"},
                    description=description,
                )
                for name, description in graphs.items()
            )
        }

    def get(self, _tenant: str, assistant_id: str) -> Assistant | None:
        """Read an assistant."""
        return self._by_id.get(assistant_id)

    def list(self, _tenant: str) -> Sequence[Assistant]:
        """Read all assistants of a tenant."""
        return list(self._by_id.values())
