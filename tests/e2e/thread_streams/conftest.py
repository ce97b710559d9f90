"""A server whose graphs have something for each channel; CONTRACT_URL names another to hold these tests against."""

import os

import pytest

from tests.conftest import TENANT_HEADER, Server
from tests.contract.streams.conftest import api, server

__all__ = ["api", "server"]

TENANT = {TENANT_HEADER.decode(): "acme"}


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> str:
    """Where the server is."""
    elsewhere = os.environ.get("CONTRACT_URL")
    if elsewhere:
        return elsewhere
    served: Server = request.getfixturevalue("server")
    return served.url
