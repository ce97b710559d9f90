"""Tries a deployed URL with the LangGraph SDK: pass, FAIL or n.a. for each capability, those no emulator shows first.

    LANGGRAPH_API_KEY=… python -m infra.smoke https://…/prod

It needs the example graphs (`agent`, `long`) and leaves nothing behind. It exits with the number of failures.
"""

import argparse
import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum

from infra.smoke import fronts, service
from infra.smoke.server import Failed, Inapplicable, Pace, Server, clean_up, connected

Capability = Callable[[Server], Awaitable[str | None]]
"""Returns, or what is worth telling; raises Failed or Inapplicable."""

CAPABILITIES: tuple[Capability, ...] = (
    # These rest on what only API Gateway, Lambda and Scheduler do.
    fronts.live_events,
    fronts.undecodable_body,
    fronts.python_sdk_outlasts_the_gateway,
    fronts.held_sandbox,
    fronts.redirect_is_followed,
    fronts.stream_outlasts_the_gateway,
    fronts.stream_is_resumed,
    fronts.streaming_abort,
    fronts.abandoned_run_goes_on,
    fronts.outlasts_the_function,
    fronts.crons,
    fronts.no_key_no_answer,
    service.background_run,
    service.cancel,
    service.waits_in_parallel,
    service.idempotency,
    service.turns,
    service.webhook_is_checked,
    service.assistants,
    service.store,
)
NAMES = [each.__name__ for each in CAPABILITIES]


class Verdict(StrEnum):
    """What became of a capability."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "FAIL"
    INAPPLICABLE = "n.a."


async def tried(capability: Capability, server: Server) -> Verdict:
    """Try one capability and print its line."""
    started = time.monotonic()
    verdict = Verdict.FAIL
    try:
        remark = await capability(server) or ""
        verdict = Verdict.PASS
    except Inapplicable as reason:
        remark = str(reason)
        verdict = Verdict.INAPPLICABLE
    except Failed as failure:
        remark = str(failure)
    except Exception as error:
        remark = traceback.format_exception_only(error)[-1].strip()
    print(f"{verdict}  {capability.__name__:32} {time.monotonic() - started:6.1f} s  {remark}".rstrip(), flush=True)
    return verdict


async def smoke(url: str, api_key: str | None, capabilities: Iterable[Capability], pace: Pace) -> list[Verdict]:
    """Try capabilities, one after another, and delete what they have made."""
    async with connected(url, api_key, pace) as server:
        verdicts = []
        try:
            for capability in capabilities:
                verdicts.append(await tried(capability, server))  # noqa: PERF401 - each line is printed in its time
        finally:
            verdicts.append(await tried(clean_up, server))
        return verdicts


def main(argv: Sequence[str] | None = None, pace: Pace | None = None) -> int:
    """The command line; the number of capabilities that failed."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.smoke", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="base URL, as the stack's output `Url` has it")
    parser.add_argument("only", nargs="*", help=f"capabilities to try, all if none is named: {', '.join(NAMES)}")
    parser.add_argument("--grace", type=float, default=60, metavar="N", help="the stack's PresenceGraceSeconds (60)")
    parser.add_argument(
        "--function", type=float, metavar="N", help="its FunctionTimeoutSeconds, to try a run that outlasts it"
    )
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.only) - set(NAMES):
        parser.error(f"no such capabilities: {', '.join(sorted(unknown))}")
    chosen = [each for each in CAPABILITIES if not arguments.only or each.__name__ in arguments.only]
    pace = pace or Pace(gone_s=Pace.gone_s - 60 + arguments.grace, function_s=arguments.function)
    key = os.environ.get("LANGGRAPH_API_KEY") or None
    verdicts = asyncio.run(smoke(arguments.url.rstrip("/"), key, chosen, pace))
    print(", ".join(f"{verdicts.count(each)} {each}" for each in Verdict))
    return verdicts.count(Verdict.FAIL)


if __name__ == "__main__":
    sys.exit(main())
