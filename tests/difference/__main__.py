"""Plays every scenario on the reference and on ours; fails on a difference that has no reason."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.difference.areas import AREAS
from tests.difference.comparison import Difference, differences
from tests.difference.exchange import Exchange
from tests.difference.reasons import REASONS, Reason, explained
from tests.difference.scenario import Scenario
from tests.difference.servers import ours, reference
from tests.difference.session import Session

AT_ONCE = 6
"""How many scenarios are played at the same time."""

STOPPED = "(stopped)"
"""Stands for the calls that a scenario could not make any more."""

FEWEST = 250
"""A run over everything that finds fewer scenarios is broken."""


def main() -> int:
    """1 when anything differs without a reason, or a reason explains nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.difference", description=__doc__)
    parser.add_argument("--langgraph", type=Path, help="the reference's `langgraph` command; started and stopped here")
    parser.add_argument("--reference", help="URL of a reference server that runs already, in place of --langgraph")
    parser.add_argument("--ours", help="URL of a server of ours that runs already")
    parser.add_argument("--only", default="", help="play only scenarios whose `area: name` holds this text")
    parser.add_argument("--all", action="store_true", help="show differences that have a reason, too")
    arguments = parser.parse_args()
    if not (arguments.langgraph or arguments.reference):
        parser.error("one of --langgraph and --reference is needed")
    chosen = [one for area in AREAS for one in area.scenarios if arguments.only in str(one)]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        theirs = arguments.reference or stack.enter_context(reference(arguments.langgraph.absolute(), directory))
        own = arguments.ours or stack.enter_context(ours(directory))
        version = Session(theirs).get("/info")["version"]
        started = time.monotonic()
        found = play_all(chosen, theirs, own)
    taken = time.monotonic() - started
    return report(chosen, found, complete=not arguments.only, shown=arguments.all, head=f"{version}, {taken:.0f} s")


def play_all(scenarios: Sequence[Scenario], theirs: str, own: str) -> list[Difference]:
    """Every difference, scenario by scenario."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [one for some in pool.map(lambda scenario: compare(scenario, theirs, own), scenarios) for one in some]


def compare(scenario: Scenario, theirs: str, own: str) -> list[Difference]:
    """The differences of one scenario, played on both servers at the same time."""
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda url: play(scenario, url), (theirs, own))
    found = differences(str(scenario), one, other)
    if one[-1:] and other[-1:] and one[-1].call == other[-1].call == STOPPED:
        found.append(Difference(str(scenario), STOPPED, "calls", one[-1].body, other[-1].body))
    return found


def play(scenario: Scenario, url: str) -> list[Exchange]:
    """What a server answered; where a scenario cannot go on, that is the last of it."""
    session = Session(url)
    try:
        scenario.play(session)
    except Exception as error:  # whatever an unexpected answer leads to is a finding
        session.keep(Exchange(STOPPED, 0, {}, f"{type(error).__name__}: {error}"))
    finally:
        session.close()
    return session.transcript


def report(
    scenarios: Sequence[Scenario], found: Sequence[Difference], *, complete: bool, shown: bool, head: str
) -> int:
    """Print what was found; the exit status."""
    reasons: Counter[Reason] = Counter()
    bare = []
    for one in found:
        reason = explained(one)
        if reason is not None:
            reasons[reason] += 1
        else:
            bare.append(one)
        if reason is None or shown:
            print(f"{'meant' if reason else 'DIFFERS'} | {one}")
    areas = Counter(one.area for one in scenarios)
    differing = len({one.scenario for one in bare})
    print(f"reference {head}")
    print(f"{len(scenarios)} scenarios: {', '.join(f'{count} {name}' for name, count in areas.items())}")
    print(
        f"{len(bare)} differences without a reason, in {differing} scenarios; "
        f"{reasons.total()} with one of {len(reasons)} reasons"
    )
    failed = bool(bare)
    if complete:
        for idle in [one for one in REASONS if one.always and one not in reasons]:
            print(f"explains nothing any more: {idle}")
            failed = True
        if len(scenarios) < FEWEST:
            print(f"fewer than {FEWEST} scenarios")
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
