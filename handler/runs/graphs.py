"""The graphs of a langgraph.json: found, loaded and opened for one run."""

import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from handler.domain.models import MAX_TTL_MINUTES, JsonObject, ThreadTtl, TtlStrategy
from handler.errors import GraphLoadError
from handler.runs.project import HttpConfig, StoreConfig, read_http, read_store
from handler.runs.webhook_config import WebhookConfig, read_webhooks

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel

    Graph = Pregel[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """Where a graph is to be found: `path.py:name` or `package.module:name`."""

    graph_id: str
    source: str
    attribute: str
    description: str | None = None
    kind: str = "graph"
    """What is to be found there, where it is not a graph: the name of its key in langgraph.json."""

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"graph {self.graph_id!r}" if self.kind == "graph" else self.kind


@dataclass(frozen=True, slots=True)
class TtlConfig:
    """How long new threads are kept, where their creator does not say: `checkpointer.ttl`."""

    strategy: TtlStrategy = TtlStrategy.DELETE
    default_minutes: float | None = None
    """None: until somebody deletes them."""
    sweep_minutes: float = 5.0
    """How often the local server looks for what is due; on AWS DynamoDB does."""

    def of_new_thread(
        self, now: datetime, strategy: str | None = None, minutes: float | None = None
    ) -> ThreadTtl | None:
        """How long a new thread is kept; what is given comes before the defaults."""
        chosen = self.default_minutes if minutes is None else minutes
        if chosen is None:
            return None
        kind = TtlStrategy(strategy) if strategy else self.strategy
        return ThreadTtl(kind, chosen, now + timedelta(minutes=chosen))


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """What this server reads of a langgraph.json; relative paths are relative to `directory`."""

    directory: Path
    graphs: Mapping[str, GraphSpec]
    dependencies: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    ttl: TtlConfig = field(default_factory=lambda: TtlConfig())
    store: StoreConfig = field(default_factory=StoreConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    webhooks: WebhookConfig = field(default_factory=WebhookConfig)


def read_config(path: Path) -> GraphConfig:
    """Read a langgraph.json; GraphLoadError says what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GraphLoadError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise GraphLoadError(f"{path}: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("graphs"), dict) or not content["graphs"]:
        raise GraphLoadError(f'{path}: "graphs" must be an object with at least one graph')
    refuse_unsupported(path, content)
    directory = path.resolve().parent
    dependencies = content.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(entry, str) for entry in dependencies):
        raise GraphLoadError(f'{path}: "dependencies" must be a list of strings')
    env = _read_env(path, directory, content.get("env"))
    return GraphConfig(
        directory=directory,
        graphs={name: _read_spec(path, name, value) for name, value in content["graphs"].items()},
        dependencies=tuple(dependencies),
        env=env,
        ttl=_read_ttl(path, content.get("checkpointer")),
        store=read_store(path, content.get("store")),
        http=read_http(path, content.get("http")),
        webhooks=read_webhooks(path, content.get("webhooks"), {**(env or {}), **os.environ}),
    )


UNSUPPORTED = {
    "auth": "the gateway authenticates (the Auth parameter of template.yaml)",
    "encryption": "AesKey and KmsKeyArn of template.yaml encrypt",
}
"""Keys that guard what is kept: a server that passed them over would be open where its owner believes it closed."""


def refuse_unsupported(path: Path, content: JsonObject) -> None:
    """GraphLoadError for what must not be passed over in silence."""
    for key, instead in UNSUPPORTED.items():
        if content.get(key):
            raise GraphLoadError(f'{path}: "{key}" is not supported: {instead}')
    checkpointer = content.get("checkpointer")
    others = sorted(set(checkpointer) - {"ttl"}) if isinstance(checkpointer, dict) else []
    if others:
        raise GraphLoadError(f'{path}: "checkpointer.{others[0]}" is not supported: checkpoints are kept in DynamoDB')


def _read_ttl(path: Path, checkpointer: Any) -> TtlConfig:
    value = checkpointer.get("ttl") if isinstance(checkpointer, dict) else None
    if value is None:
        return TtlConfig()
    try:
        minutes, sweep = value.get("default_ttl"), value.get("sweep_interval_minutes")
        config = TtlConfig(
            TtlStrategy(value.get("strategy") or TtlStrategy.DELETE),
            None if minutes is None else float(minutes),
            TtlConfig().sweep_minutes if sweep is None else float(sweep),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise GraphLoadError(f'{path}: "checkpointer.ttl": {error}') from None
    kept = 1 if config.default_minutes is None else config.default_minutes
    if not (0 < kept <= MAX_TTL_MINUTES and config.sweep_minutes > 0):
        raise GraphLoadError(f'{path}: "checkpointer.ttl": minutes must be more than 0, and less than ten years')
    return config


def _read_spec(path: Path, graph_id: str, value: Any) -> GraphSpec:
    description = None
    if isinstance(value, dict):
        description = value.get("description")
        value = value.get("path")
    if not isinstance(value, str) or ":" not in value:
        raise GraphLoadError(f'{path}: graph "{graph_id}" must be "path/to/file.py:attribute"')
    source, _, attribute = value.rpartition(":")
    if Path(source).suffix in {".js", ".mjs", ".ts", ".mts", ".cjs", ".tsx"}:
        raise GraphLoadError(f'{path}: graph "{graph_id}" is a JavaScript graph ({source}), which is not supported')
    return GraphSpec(graph_id=graph_id, source=source, attribute=attribute, description=description)


def _read_env(path: Path, directory: Path, value: Any) -> Mapping[str, str] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return {str(name): str(content) for name, content in value.items()}
    if not isinstance(value, str):
        raise GraphLoadError(f'{path}: "env" must be a file name or an object')
    from dotenv import dotenv_values

    file = directory / value
    if not file.is_file():
        raise GraphLoadError(f'{path}: "env" names {value}, and there is no such file')
    return {name: content for name, content in dotenv_values(file).items() if content is not None}


class Graphs:
    """The graphs of one langgraph.json; each is imported when it is first needed."""

    def __init__(self, config: GraphConfig) -> None:
        self.config = config
        self._loaded: dict[str, Any] = {}
        self._prepared = False

    @property
    def ids(self) -> tuple[str, ...]:
        """The graphs' names."""
        return tuple(self.config.graphs)

    def load(self, graph_id: str) -> Any:
        """Import a graph's attribute; GraphLoadError names file and attribute."""
        if graph_id not in self._loaded:
            self._prepare()
            spec = self.config.graphs[graph_id]
            loaded = self._attribute(spec)
            if not (_is_graph(loaded) or _is_builder(loaded) or callable(loaded)):
                raise GraphLoadError(
                    f"graph {graph_id!r}: {spec.source}:{spec.attribute} is a {type(loaded).__name__}, "
                    "neither a graph nor a function that makes one"
                )
            self._loaded[graph_id] = _built(spec, loaded) if _is_builder(loaded) else loaded
        return self._loaded[graph_id]

    def load_all(self) -> None:
        """Import every graph, so that a broken one is found at start-up."""
        for graph_id in self.ids:
            self.load(graph_id)

    @asynccontextmanager
    async def open(self, graph_id: str, config: JsonObject, **replaced: Any) -> AsyncIterator["Graph"]:
        """The graph, ready to run with `config`; a factory is called anew. `replaced`: attributes to set on a copy."""
        loaded = self.load(graph_id)
        if _is_graph(loaded):
            yield cast("Graph", loaded).copy(update=replaced)
            return
        spec = self.config.graphs[graph_id]
        made = _called(spec, loaded, config)
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, AbstractAsyncContextManager):
            async with made as entered:
                yield _compiled(spec, entered).copy(update=replaced)
        elif isinstance(made, AbstractContextManager):
            with made as entered:
                yield _compiled(spec, entered).copy(update=replaced)
        else:
            yield _compiled(spec, made).copy(update=replaced)

    def attribute(self, key: str, source: str, attribute: str) -> Any:
        """Import what another key of langgraph.json names; GraphLoadError names key, file and attribute."""
        self._prepare()
        return self._attribute(GraphSpec("", source, attribute, kind=key))

    def _prepare(self) -> None:
        if self._prepared:
            return
        for name, value in (self.config.env or {}).items():
            os.environ.setdefault(name, value)
        local = [name for name in self.config.dependencies if name.startswith(".")]
        paths = [self.config.directory, *((self.config.directory / name).resolve() for name in local)]
        for path in reversed(paths):
            if str(path) not in sys.path:
                sys.path.insert(0, str(path))
        self._prepared = True

    def _attribute(self, spec: GraphSpec) -> Any:
        where = f"{spec.title}: {spec.source}:{spec.attribute}"
        try:
            module = self._module(spec)
        except GraphLoadError:
            raise
        except (Exception, SystemExit) as error:
            raise GraphLoadError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
        try:
            return getattr(module, spec.attribute)
        except AttributeError:
            raise GraphLoadError(f"{where}: the file has no attribute {spec.attribute!r}") from None

    def _module(self, spec: GraphSpec) -> ModuleType:
        if not (spec.source.endswith(".py") or "/" in spec.source):
            return importlib.import_module(spec.source)
        file = (self.config.directory / spec.source).resolve()
        if not file.is_file():
            raise GraphLoadError(f"{spec.title}: {spec.source}:{spec.attribute}: there is no file {file}")
        name = self._module_name(file)
        if name in sys.modules:
            return sys.modules[name]
        located = importlib.util.spec_from_file_location(name, file)
        if located is None or located.loader is None:
            raise GraphLoadError(f"{spec.title}: {file} is not a Python file")
        module = importlib.util.module_from_spec(located)
        sys.modules[name] = module  # dataclasses and pydantic look their module up while it is being executed
        try:
            located.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _module_name(self, file: Path) -> str:
        """The same name wherever the project lies: checkpoints name the classes of a graph's file by its module."""
        relative = os.path.relpath(file.with_suffix(""), self.config.directory)
        name = "langgraph_json_" + re.sub(r"\W", "_", relative)
        taken = sys.modules.get(name)
        if taken is None or taken.__file__ == str(file):
            return name
        return f"{name}_{zlib.crc32(str(file).encode()):08x}"  # another project of the same process has the name


def _is_graph(value: Any) -> bool:
    from langgraph.pregel import Pregel

    return isinstance(value, Pregel)


def _is_builder(value: Any) -> bool:
    return not inspect.isclass(value) and hasattr(value, "compile") and hasattr(value, "add_node")


def _built(spec: GraphSpec, builder: Any) -> "Graph":
    try:
        return cast("Graph", builder.compile())
    except Exception as error:
        raise GraphLoadError(
            f"graph {spec.graph_id!r}: {spec.source}:{spec.attribute} cannot be compiled: "
            f"{type(error).__name__}: {error}"
        ) from error


def _compiled(spec: GraphSpec, made: Any) -> "Graph":
    graph = made.compile() if _is_builder(made) else made
    if not _is_graph(graph):
        raise GraphLoadError(
            f"graph {spec.graph_id!r}: {spec.source}:{spec.attribute} returned a {type(made).__name__}, not a graph"
        )
    return cast("Graph", graph)


def _called(spec: GraphSpec, factory: Any, config: JsonObject) -> Any:
    """What a factory makes: it may take nothing, one argument of any name, or `config` among others with defaults."""
    given = cast("RunnableConfig", config)
    parameters = inspect.signature(factory).parameters
    required = [
        parameter
        for parameter in parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(required) > 1 or (required and "config" in parameters and required[0].name != "config"):
        names = ", ".join(parameters)
        raise GraphLoadError(
            f"graph {spec.graph_id!r}: {spec.source}:{spec.attribute} takes ({names}); "
            "a factory takes nothing or the run's config"
        )
    config_parameter = parameters.get("config")
    if config_parameter is not None and config_parameter.kind is not config_parameter.POSITIONAL_ONLY:
        return factory(config=given)
    return factory(given) if required else factory()
