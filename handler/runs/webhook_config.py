"""What langgraph.json says of webhooks: where they may go, with which headers, and what they are told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handler.domain.models import JsonObject
from handler.errors import GraphLoadError

ENV_PREFIX = "LG_WEBHOOK_"
"""What the names of variables begin with that headers may hold, unless `env_prefix` says otherwise."""

TEMPLATE = re.compile(r"\$\{\{\s*([^}]+?)\s*\}\}")
"""A variable within a header: `${{ env.NAME }}`."""

LONGEST_URL = 4096
"""Longest URL of a webhook, in characters, where nothing is said of it."""

SECTION_LONGEST_URL = 2048
"""The same where `webhooks.url` is there, but says nothing of it, as on the reference."""


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """Where webhooks may go: `webhooks.url`."""

    allowed_domains: tuple[str, ...] = ()
    """Hosts, and `*.domain` for those below one; empty: all."""
    allowed_ports: tuple[int, ...] = ()
    require_https: bool = False
    longest: int = LONGEST_URL
    loopback: bool = False
    """Whether they may go to this very machine."""
    private: bool = False
    """Whether they may go to the private addresses of a network."""

    def allows_host(self, host: str) -> bool:
        """Whether a host is among the allowed domains, or all are."""
        return not self.allowed_domains or self.names(host)

    def names(self, host: str) -> bool:
        """Whether a host is one of the allowed domains, or below one that begins with `*.`."""
        return any(
            host.endswith(domain[1:]) if domain.startswith("*.") else host == domain for domain in self.allowed_domains
        )


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """What langgraph.json says of webhooks."""

    policy: UrlPolicy = field(default_factory=UrlPolicy)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of each message."""
    allowed_fields: frozenset[str] | None = None
    """What of a run is told; None: all."""

    def chosen(self, told: JsonObject) -> JsonObject:
        """What of all that there is to tell is told."""
        if not self.allowed_fields:
            return told
        return {name: value for name, value in told.items() if name in self.allowed_fields}


def read_webhooks(path: Path, value: Any, env: Mapping[str, str]) -> WebhookConfig:
    """Read `webhooks`; `env` are the variables that headers may hold."""
    section = _section(
        path, "webhooks", value, {"env_prefix": str, "url": dict, "headers": dict, "allowed_fields": list}
    )
    prefix = section.get("env_prefix", ENV_PREFIX)
    fields = section.get("allowed_fields")
    if fields is not None and not all(isinstance(name, str) for name in fields):
        raise GraphLoadError(f'{path}: "webhooks.allowed_fields" must be a list of names')
    return WebhookConfig(
        policy=_read_policy(path, section.get("url")),
        headers={name: _filled(path, name, text, env, prefix) for name, text in section.get("headers", {}).items()},
        allowed_fields=frozenset(fields) if fields is not None else None,
    )


def _read_policy(path: Path, value: Any) -> UrlPolicy:
    if value is None:
        return UrlPolicy()
    flags = dict.fromkeys(("require_https", "disable_loopback", "disable_private_ips"), bool)
    kinds = {"allowed_domains": list, "allowed_ports": list, "max_url_length": int, **flags}
    section = _section(path, "webhooks.url", value, kinds)
    domains = section.get("allowed_domains", [])
    if not all(isinstance(domain, str) and domain and "*" not in domain.removeprefix("*.") for domain in domains):
        raise GraphLoadError(f'{path}: "webhooks.url.allowed_domains" must be a list of hosts and of "*.domain"')
    ports = section.get("allowed_ports", [])
    if not all(isinstance(port, int) for port in ports):
        raise GraphLoadError(f'{path}: "webhooks.url.allowed_ports" must be a list of numbers')
    return UrlPolicy(
        allowed_domains=tuple(domain.lower() for domain in domains),
        allowed_ports=tuple(ports),
        require_https=section.get("require_https", True),
        longest=section.get("max_url_length", SECTION_LONGEST_URL),
        loopback=section.get("disable_loopback") is False,
        private=section.get("disable_private_ips") is False,
    )


def _section(path: Path, name: str, value: Any, kinds: Mapping[str, type]) -> JsonObject:
    """A section with keys of these kinds and no others; empty if it is not there."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not value.keys() <= kinds.keys():
        raise GraphLoadError(f'{path}: "{name}" must be an object with any of {", ".join(kinds)}')
    for key, given in value.items():
        if not isinstance(given, kinds[key]):
            raise GraphLoadError(f'{path}: "{name}.{key}" has a value of the wrong type')
    return value


def _filled(path: Path, name: str, text: Any, env: Mapping[str, str], prefix: str) -> str:
    """A header's text with its variables filled in."""
    if not isinstance(text, str):
        raise GraphLoadError(f'{path}: "webhooks.headers.{name}" must be text')

    def variable(match: re.Match[str]) -> str:
        kind, _, wanted = match.group(1).partition(".")
        if kind != "env" or not wanted.startswith(prefix) or "." in wanted:
            raise GraphLoadError(f'{path}: "webhooks.headers.{name}": only ${{{{ env.{prefix}… }}}} may stand in it')
        if wanted not in env:
            raise GraphLoadError(f'{path}: "webhooks.headers.{name}": {wanted} is not set')
        return env[wanted]

    filled = TEMPLATE.sub(variable, text)
    if any(character in filled for character in "\r\n\0"):
        raise GraphLoadError(f'{path}: "webhooks.headers.{name}" must be one line')
    return filled
