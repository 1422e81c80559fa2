"""A server for the tests that need no other than a plain one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.serve.serving import Client, serving


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Requests to a server of one network."""
    with serving(tmp_path) as client:
        yield client
