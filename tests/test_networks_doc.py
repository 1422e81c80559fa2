"""docs/how-to/networks.md: its settings can be trained."""

import re

import pytest

from segtrain.config.rules import load_config
from segtrain.training.train import check
from tests.conftest import PROJECT

TEXT = (PROJECT / "docs/how-to/networks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.S | re.M)


@pytest.mark.parametrize("text", BLOCKS)
def test_settings_of_the_text_are_checked(text, tmp_path):
    (tmp_path / "shown.yml").write_text(text)
    assert check(load_config([str(tmp_path / "shown.yml"), "train.device=cpu"])).startswith("ok: street: ")


def test_all_blocks_are_found():
    assert len(BLOCKS) == 5
