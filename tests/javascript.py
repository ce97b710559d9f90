"""The JavaScript packages that tests use, installed once per checkout, whichever process of the tests comes first."""

import fcntl
from pathlib import Path
from subprocess import run

FOLDER = Path(__file__).parents[1] / ".local" / "js"
SDKS = {"older": "2.0.0", "newest": "1.15.0"}
"""The JS SDK in two lines: 2.0.0 came first, and was npm's latest for long."""
OTHERS = ("@langchain/react@1.1.0", "@langchain/core@1", "react@18", "react-test-renderer@18")
"""The hook of the newer package, which brings an SDK of its own, and what renders hooks without a page."""


def packages() -> Path:
    """The folder that has the node_modules; npm keeps no record of where they came from."""
    wanted = [*(f"{name}@npm:@langchain/langgraph-sdk@{version}" for name, version in SDKS.items()), *OTHERS]
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = FOLDER / "installed"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != "\n".join(wanted):
            quietly = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund")
            command = ["npm", "install", *quietly, "--prefix", str(FOLDER), *wanted]
            run(command, check=True, timeout=300, capture_output=True)
            done.write_text("\n".join(wanted))
    return FOLDER


def sdk_entry(name: str) -> Path:
    """The module of one of the SDKs."""
    return packages() / "node_modules" / name / "dist" / "index.js"
