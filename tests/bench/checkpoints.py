"""What checkpoints cost, ours and those of langgraph-checkpoint-aws: `make bench-checkpoints`.

`python -m tests.bench.checkpoints PEER_PYTHON [OUT]` runs ours here, the peer under PEER_PYTHON, and prints tables.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SHOWN = (1, 10, 20, 60, 200)
ENOUGH = 12
"""Write units that a turn without a snapshot may take."""


def report(peer_python: str, out: str | None) -> None:
    """Run both sides and print the tables; write them to `out` as well."""
    mine = side(sys.executable, "tests.bench.ours")
    other = side(peer_python, "tests.bench.peer")
    text = (
        "\n".join([*heading(), *turn_table(mine, other), *extremes(mine), *read_table(mine), *cpu_table(mine)]) + "\n"
    )
    print(text)
    if out:
        Path(out).write_text(text)


def side(python: str, module: str) -> dict[str, Any]:
    """What a module measures under a Python."""
    done = subprocess.run([python, "-m", module], check=True, stdout=subprocess.PIPE)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def heading() -> list[str]:
    return [
        "# What checkpoints cost",
        "",
        "Made by `make bench-checkpoints`. Workload W: each turn is agent, tool, agent with four messages of about",
        "1 KB in a `messages` channel with `add_messages`. Every request is counted before an in-process moto server;",
        "units follow AWS's sizing rules: 1 KB a write unit, 4 KB a strongly consistent read unit. Ours runs as a",
        "driver runs it: alone on its thread.",
        "",
    ]


def turn_table(mine: dict[str, Any], other: dict[str, Any]) -> list[str]:
    lines = [
        "## A turn: requests / write units / read units / KB sent",
        "",
        f"| saver | {' | '.join(f'turn {turn}' for turn in SHOWN)} |",
        f"|---|{'---|' * len(SHOWN)}",
    ]
    for name, measured in (("ours", mine), ("langgraph-checkpoint-aws", other)):
        for row, data in measured["rows"].items():
            cells = [cell(data, turn) for turn in SHOWN]
            lines.append(f"| {name}, {row} | {' | '.join(cells)} |")
    lines += ["", "`s`: a turn with a snapshot in it. `-`: not run, or failed earlier.", ""]
    for row, data in other["rows"].items():
        ended = f"ended at {data['ended']}" if data["ended"] else "did not fail"
        reads = f"{data['cold']['rru']:g} read units, eventually consistent"
        lines += [f"- langgraph-checkpoint-aws, {row}: {ended}; the state after its last turn takes {reads}."]
    return lines


def cell(data: dict[str, Any], turn: int) -> str:
    if turn > len(data["turns"]):
        return "-"
    bill = data["turns"][turn - 1]
    mark = " s" if bill["snapshot"] else ""
    return f"{bill['requests']} / {bill['wru']:.0f} / {bill['rru']:g} / {bill['sent'] / 1024:.0f}{mark}"


def extremes(mine: dict[str, Any]) -> list[str]:
    head = (
        "| | requests, most* | write units, most* | turns of more than 12 units* | turns with a snapshot "
        "| their write units, most | write units, mean | requests, mean | read units in all turns |"
    )
    lines = [
        "",
        f"## Ours over all {len(next(iter(mine['rows'].values()))['turns'])} turns",
        "",
        head,
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, data in mine["rows"].items():
        plain = [turn for turn in data["turns"] if not turn["snapshot"]]
        full = [turn for turn in data["turns"] if turn["snapshot"]]
        every = data["turns"]
        lines.append(
            f"| {row} | {max(t['requests'] for t in plain)} | {max(t['wru'] for t in plain):.0f}"
            f" | {sum(t['wru'] > ENOUGH for t in plain)} | {len(full)}"
            f" | {max((t['wru'] for t in full), default=0):.0f} | {sum(t['wru'] for t in every) / len(every):.1f}"
            f" | {sum(t['requests'] for t in every) / len(every):.1f} | {sum(t['rru'] for t in every):g} |"
        )
    return [*lines, "", "*: of the turns without a snapshot."]


def read_table(mine: dict[str, Any]) -> list[str]:
    lines = [
        "",
        "## Ours, reading and deleting",
        "",
        "| | stored state, KB | state, cold: units (bound) / requests | warm | history(10): requests / KB received |",
        "|---|---|---|---|---|",
    ]
    for row, data in mine["rows"].items():
        for turn, after in data["after"].items():
            bound = 2 * after["state_bytes"] / 4096 + 2
            lines.append(
                f"| {row}, turn {turn} | {after['state_bytes'] / 1024:.1f} | {after['cold']['rru']:g} ({bound:.1f})"
                f" / {after['cold']['requests']} | {after['warm']['rru']:g}"
                f" | {after['history']['requests']} / {after['history']['received'] / 1024:.0f} |"
            )
    lines += ["", "| delete_thread after 60 turns | requests | items left | of which tombstones |", "|---|---|---|---|"]
    for row, data in mine["rows"].items():
        gone = data["delete"]
        operations = ", ".join(f"{name} {count}" for name, count in gone["operations"].items())
        lines.append(f"| {row} | {operations} | {gone['left']} | {gone['tombstones']} |")
    return lines


def cpu_table(mine: dict[str, Any]) -> list[str]:
    cpu = mine["cpu"]
    return [
        "",
        "## CPU",
        "",
        f"A state of {cpu['state_kb']:.0f} KB, 75 messages; LangGraph's serde of it takes 1.",
        "",
        "| ours | serialise and compress | the whole put without its request |",
        "|---|---|---|",
        f"| a super-step that adds a message | {cpu['bytes_ratio']:.2f} | {cpu['next_ratio']:.2f} |",
        f"| a snapshot of elements serialised before | {cpu['snapshot_ratio']:.2f} | |",
        f"| a first record, every element anew | {cpu['full_bytes_ratio']:.2f} | {cpu['first_ratio']:.2f} |",
    ]


if __name__ == "__main__":
    report(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
