"""A server of files for the tests of downloads."""

import pytest

from tests.commands.datasets.file_server import serve


@pytest.fixture
def got(tmp_path):
    """A server that has BODY as /set/x.bin, and a folder R to fetch it into."""
    with serve(tmp_path / "R") as got:
        yield got
