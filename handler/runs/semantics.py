"""What store items mean: the user's embedding function, and the texts of a value that it is given."""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from handler.domain.store import Vector
from handler.errors import GraphLoadError
from handler.runs.graphs import Graphs
from handler.runs.loop import GraphLoop
from handler.runs.project import IndexConfig

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


class SemanticIndex:
    """Embeds values and queries; the function is imported when it is first needed."""

    def __init__(self, config: IndexConfig, graphs: Graphs, loop: GraphLoop) -> None:
        self.config = config
        self.graphs = graphs
        self.loop = loop

    def vectors(self, value: Mapping[str, Any], fields: Literal[False] | Sequence[str] | None) -> list[Vector]:
        """What a value means: a vector for each text in `fields` (None: those configured; False: none)."""
        if fields is False:
            return []
        from langgraph.store.base import get_text_at_path

        paths = self.config.fields if fields is None else fields
        texts = [text for path in paths for text in get_text_at_path(dict(value), path)]
        if not texts:
            return []
        return self._checked(self.embeddings.embed_documents(texts), len(texts))

    def meaning(self, query: str) -> Vector:
        """What a query means."""
        (vector,) = self._checked([self.embeddings.embed_query(query)], 1)
        return vector

    def _checked(self, vectors: Sequence[Vector], count: int) -> list[Vector]:
        lengths = {len(vector) for vector in vectors}
        if len(vectors) != count or lengths != {self.config.dims}:
            raise ValueError(
                f"store.index.embed made {len(vectors)} vectors of {sorted(lengths)} numbers for {count} texts: "
                f"expected {self.config.dims} numbers each (store.index.dims)"
            )
        return list(vectors)

    @cached_property
    def embeddings(self) -> "Embeddings":
        """The function or object that `embed` names, in LangChain's form."""
        from langgraph.store.base import ensure_embeddings

        source, _, attribute = self.config.embed.rpartition(":")
        if not ("/" in source or "." in source):
            try:
                return ensure_embeddings(self.config.embed)
            except Exception as error:
                raise GraphLoadError(f"store.index.embed: {self.config.embed}: {error}") from error
        embed = self.graphs.attribute("store.index.embed", source, attribute)
        return ensure_embeddings(self._blocking(embed) if inspect.iscoroutinefunction(embed) else embed)

    def _blocking(self, embed: Any) -> Any:
        """An async function as one that waits for it, on the loop where graphs run."""

        def wait(texts: Sequence[str]) -> list[list[float]]:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                vectors: list[list[float]] = self.loop.submit(embed(texts)).result()
                return vectors
            raise ValueError("store.index.embed is async: call the store's async methods from async code")

        return wait
