"""The hook `useStream`, the real one of each of LangChain's packages, takes a page through a conversation."""

import json
from pathlib import Path
from subprocess import run

import pytest

from tests.conftest import TENANT_HEADER, Server
from tests.javascript import packages

SCRIPT = Path(__file__).with_name("use_stream.mjs")


@pytest.mark.parametrize(
    ("package", "messages"),
    [
        ("newest/react", ["ai:bye", "ai:well said indeed", "human:hi"]),
        ("@langchain/react", ["ai:bye", "ai:found it", "ai:well said indeed", "human:hi"]),
    ],
    ids=["langgraph-sdk: a stream of each run", "langchain-react: one stream of the thread"],
)
def test_a_page_shows_tokens_an_interrupt_an_error_and_the_conversation_when_it_is_opened_again(
    package: str, messages: list[str], server: Server
) -> None:
    headers = json.dumps({TENANT_HEADER.decode(): "acme"})
    command = ["node", str(SCRIPT), str(packages()), package, server.url, headers]
    finished = run(command, check=False, capture_output=True, timeout=120, text=True)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == {
        "tokens": True,
        "messages": messages,
        "notes": ["spoken", "spoken", "looked", "asked no", "closed"],
        "interrupt": "sure?",
        "answered": [["asked yes", "closed"], None],
        "error": "lost for words",
        "reopened": True,
    }
