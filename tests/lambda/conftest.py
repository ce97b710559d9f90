"""The artefact, built once for all tests by the command that builds it for Lambda, for this machine instead."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def artefact() -> Path:
    """The API function's artefact as `make build` left it."""
    command = ["make", "--no-print-directory", "build", "TARGET=host", f"BUILD_PYTHON={sys.executable}"]
    built = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
    )
    assert built.returncode == 0, built.stdout
    return ROOT / ".aws-sam" / "host" / "ApiFunction"
