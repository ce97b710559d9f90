"""The section `webhooks` of langgraph.json: what it may say, and what becomes of it."""

from pathlib import Path
from typing import Any

import pytest

from handler.errors import GraphLoadError
from handler.runs.webhook_config import UrlPolicy, WebhookConfig, read_webhooks

PATH = Path("langgraph.json")
ENV = {"LG_WEBHOOK_TOKEN": "secret", "MY_TOKEN": "mine", "LG_WEBHOOK_LINES": "a\nb"}


def test_where_nothing_is_said_all_is_told_to_whoever_is_public() -> None:
    assert read_webhooks(PATH, None, ENV) == WebhookConfig(UrlPolicy(longest=4096), {}, None)
    assert read_webhooks(PATH, {}, ENV) == WebhookConfig()


def test_everything_can_be_said() -> None:
    said = {
        "env_prefix": "MY_",
        "headers": {"Authorization": "Bearer ${{ env.MY_TOKEN }}", "X-Plain": "as it is"},
        "allowed_fields": ["run_id", "status"],
        "url": {
            "allowed_domains": ["Hooks.example.com", "*.mycorp.com"],
            "allowed_ports": [443, 8443],
            "require_https": False,
            "max_url_length": 100,
            "disable_loopback": False,
            "disable_private_ips": False,
        },
    }
    config = read_webhooks(PATH, said, ENV)
    assert config.headers == {"Authorization": "Bearer mine", "X-Plain": "as it is"}
    assert config.policy == UrlPolicy(("hooks.example.com", "*.mycorp.com"), (443, 8443), False, 100, True, True)
    assert config.chosen({"run_id": 1, "status": 2, "values": 3}) == {"run_id": 1, "status": 2}


def test_a_section_about_urls_wants_https_and_keeps_what_is_private() -> None:
    policy = read_webhooks(PATH, {"url": {}}, ENV).policy
    assert policy == UrlPolicy(require_https=True, longest=2048, loopback=False, private=False)


def test_a_header_may_hold_a_variable_of_the_usual_prefix() -> None:
    config = read_webhooks(PATH, {"headers": {"A": "${{env.LG_WEBHOOK_TOKEN}}-${{ env.LG_WEBHOOK_TOKEN }}"}}, ENV)
    assert config.headers == {"A": "secret-secret"}


@pytest.mark.parametrize(
    "said",
    [
        *([], "x", {"unknown": 1}, {"headers": []}, {"headers": {"A": 5}}, {"env_prefix": None}),
        {"headers": {"A": "${{ env.MY_TOKEN }}"}},
        {"headers": {"A": "${{ env.LG_WEBHOOK_MISSING }}"}},
        {"headers": {"A": "${{ secrets.LG_WEBHOOK_TOKEN }}"}},
        {"headers": {"A": "${{ env.LG_WEBHOOK_LINES }}"}},
        *({"allowed_fields": "run_id"}, {"allowed_fields": [1]}),
        *({"url": []}, {"url": {"unknown": 1}}, {"url": {"require_https": "yes"}}, {"url": {"max_url_length": "x"}}),
        *({"url": {"allowed_domains": [""]}}, {"url": {"allowed_domains": ["a.*.com"]}}),
        {"url": {"allowed_ports": ["443"]}},
    ],
    ids=str,
)
def test_what_cannot_be_heeded_is_refused(said: Any) -> None:
    with pytest.raises(GraphLoadError, match=r"langgraph\.json: \"webhooks"):
        read_webhooks(PATH, said, ENV)
