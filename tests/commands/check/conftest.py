"""What the tests of check and init share: a clean dataset, from the project's folder."""

import pytest

from tests.commands.check.check_sets import draw_clean
from tests.conftest import PROJECT


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The dataset of draw_clean; the working directory is that of config.yml."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("COLUMNS", "100")
    return draw_clean(tmp_path / "street")
