"""Settings come from the environment, once, and stay."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from handler.settings import Settings, get_settings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def test_defaults_suit_a_local_server(environment: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert settings.table_name == "langgraph-lambda"
    assert settings.langgraph_config == Path("langgraph.json")
    assert (settings.tenant_claim, settings.default_tenant) == ("", "default")
    assert settings.default_on_disconnect == "cancel"
    assert settings.strict_msgpack is True


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("table_name", "mine", "mine"),
        ("queue_url", "https://queue", "https://queue"),
        ("langgraph_config", "/var/task/langgraph.json", Path("/var/task/langgraph.json")),
        ("tenant_claim", "custom:tenant", "custom:tenant"),
        ("default_tenant", "me", "me"),
        ("gateway_timeout_seconds", "300", 300.0),
        ("max_body_bytes", "1000", 1000),
        ("default_on_disconnect", "continue", "continue"),
        ("state_cache_bytes", "0", 0),
        ("strict_msgpack", "false", False),
        ("allowed_types", "a.b:C", "a.b:C"),
        ("log_level", "ERROR", "ERROR"),
    ],
)
def test_each_setting_is_an_environment_variable(
    environment: pytest.MonkeyPatch, name: str, text: str, value: Any
) -> None:
    environment.setenv(name.upper(), text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gateway_timeout_seconds", "0"),
        ("gateway_timeout_seconds", "soon"),
        ("webhook_allowed_hosts", "*.internal"),
        ("log_level", "DEBUG"),
        ("max_body_bytes", "-1"),
        ("default_on_disconnect", "perhaps"),
        ("state_cache_bytes", "-1"),
        ("strict_msgpack", "sometimes"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_the_start(environment: pytest.MonkeyPatch, name: str, text: str) -> None:
    environment.setenv(name.upper(), text)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_settings_are_frozen(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().table_name = "other"  # type: ignore[misc]


def test_the_environment_is_read_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TABLE_NAME", "first")
    assert get_settings().table_name == "first"
    environment.setenv("TABLE_NAME", "second")
    assert get_settings().table_name == "first"


def test_the_environments_other_variables_are_ignored(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TABLE_NAMES", "x")
    assert "table_names" not in Settings().model_dump()


def test_every_setting_but_the_usual_ones_says_what_it_is_for() -> None:
    source = Path(__file__).parents[2].joinpath("handler", "settings.py").read_text(encoding="utf-8")
    lines = source.splitlines()
    for name in Settings.model_fields:
        if name != "log_level":
            at = next(index for index, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
            assert lines[at + 1].strip().startswith('"""')
