"""/ok: whether the server answers, and whether its table does."""

from collections.abc import Iterator

import httpx
import pytest

from handler.api.app import create_app
from handler.bootstrap import build_services
from tests.conftest import new_settings, serving
from tests.contract.calls import read
from tests.engines import Engine

OK = {"ok": True, "services": {}}


@pytest.fixture(scope="module")
def cut_off(engine: Engine) -> Iterator[httpx.Client]:
    """A client of a server whose table is not there."""
    services = build_services(new_settings(), dynamodb=engine.new_dynamodb())
    with serving(create_app(services)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("query", ["", "?check_db=0", "?check_db=1"])
def test_a_server_that_is_well_says_so(query: str, api: httpx.Client) -> None:
    assert read(api, f"/ok{query}") == OK


def test_the_table_is_looked_at_only_if_asked_for(cut_off: httpx.Client) -> None:
    assert read(cut_off, "/ok") == OK
    assert read(cut_off, "/ok?check_db=0") == OK
    answer = cut_off.get("/ok?check_db=1")
    assert (answer.status_code, set(answer.json())) == (503, {"detail"})
