"""What `client.threads.stream` of the Python SDK hands out, alike for its two clients."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

WITHIN_S = 20.0
"""How long anything may take before it counts as hanging, in seconds."""

CLOSING = ThreadPoolExecutor(32)
"""Closes the synchronous client's streams: each takes it two seconds, for it reads on until something comes."""


def apart(call: Callable[[], Any]) -> "asyncio.Future[Any]":
    """What a call that blocks answers; it has a thread of its own, which keeps no test from ending."""
    answer: Future[Any] = Future()
    answer.set_running_or_notify_cancel()

    def answered() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=answered, daemon=True).start()
    return asyncio.wrap_future(answer)


class Session:
    """One stream of a thread."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.synchronous = hasattr(stream, "__enter__")

    async def start(self, **params: Any) -> str:
        """Start a run; its id."""
        async with asyncio.timeout(WITHIN_S):
            return str((await self._called(self.stream.run.start, **params))["run_id"])

    async def respond(self, response: Any, **params: Any) -> None:
        """Answer an interrupt."""
        async with asyncio.timeout(WITHIN_S):
            await self._called(self.stream.run.respond, response, **params)

    async def _called(self, method: Callable[..., Any], *args: Any, **params: Any) -> Any:
        call = partial(method, *args, **params)
        return await (apart(call) if self.synchronous else call())

    async def output(self) -> Any:
        """The state once the run has ended."""
        async with asyncio.timeout(WITHIN_S):
            return await (apart(lambda: self.stream.output) if self.synchronous else self.stream.output)

    async def all(self, items: Any) -> list[Any]:
        """All that a projection or a subscription has to say, to its end."""
        async with asyncio.timeout(WITHIN_S):
            return await apart(lambda: list(items)) if self.synchronous else [item async for item in items]

    async def texts(self, messages: Any) -> list[str]:
        """The whole text of each message."""
        found = await self.all(messages)
        return [str(message.text) if self.synchronous else await message.text for message in found]

    async def tool_calls(self) -> list[tuple[Any, ...]]:
        """Each tool call: its name, its input, what it told meanwhile, and its output or how it failed."""
        found = await self.all(self.stream.tool_calls)
        return [
            (call.name, call.input, await self.all(call.deltas), call.error or await self._output_of(call))
            for call in found
        ]

    async def _output_of(self, call: Any) -> Any:
        async with asyncio.timeout(WITHIN_S):
            return await (apart(lambda: call.output) if self.synchronous else call.output)

    async def children(self) -> tuple[list[Any], list[list[str]]]:
        """The subgraphs, and the texts of the messages of each, which are read while it goes on."""
        found: list[Any] = []
        texts = []
        async with asyncio.timeout(WITHIN_S):
            if self.synchronous:
                found = await self.all(self.stream.subgraphs)
                return found, [await self.texts(child.messages) for child in found]
            async for child in self.stream.subgraphs:
                found.append(child)
                texts.append(asyncio.create_task(self.texts(child.messages)))
            return found, await asyncio.gather(*texts)

    async def interrupted(self) -> list[Any]:
        """The interrupts, once the run has stopped at them."""
        async with asyncio.timeout(WITHIN_S):
            while not self.stream.interrupted:  # noqa: ASYNC110 - the client has nothing to wait for
                await asyncio.sleep(0.01)
        return list(self.stream.interrupts)


@asynccontextmanager
async def opened(sdk: Any, assistant_id: str, thread_id: str | None = None) -> AsyncIterator[Session]:
    """A stream of a thread, of a new one unless one is named."""
    stream = sdk.threads.stream(thread_id, assistant_id=assistant_id)
    if hasattr(stream, "__enter__"):
        entered = stream.__enter__()
        try:
            yield Session(entered)
        finally:
            CLOSING.submit(stream.close)
    else:
        async with stream as entered:
            yield Session(entered)
