"""Copies of files on a fast disk."""

import os
from pathlib import Path

import pytest

from segtrain.data.dataset import read_sample
from segtrain.data.staging import Staging
from segtrain.errors import DataError
from tests.data.drawn import DECODER, OPTIONS, draw


def test_copies_are_read_until_a_file_changes(tmp_path):
    first, second = draw(tmp_path / "set", [(40, 50), (40, 50)])
    expected = read_sample(first, DECODER, OPTIONS)
    staging = Staging(tmp_path / "copies")
    for _ in range(2):
        image, mask = staging.read(first, DECODER, OPTIONS)
        assert (image == expected[0]).all() and (mask == expected[1]).all()
    assert len(list((tmp_path / "copies").rglob("*.png"))) == 2
    os.replace(second.image, first.image)
    assert (staging.read(first, DECODER, OPTIONS)[0] != expected[0]).any()


def test_errors_name_the_original(tmp_path):
    (sample,) = draw(tmp_path / "set", [(40, 50)])
    os.truncate(sample.image, 200)
    with pytest.raises(DataError, match=rf"^{sample.image}: cannot be read as an image"):
        Staging(tmp_path / "copies").read(sample, DECODER, OPTIONS)
    os.unlink(sample.image)
    with pytest.raises(DataError, match=rf"^{sample.image}: does not exist"):
        Staging(tmp_path / "copies").read(sample, DECODER, OPTIONS)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (sample,) = draw(tmp_path / "set", [(40, 50)])
    Path(tmp_path / "copies").touch()
    with pytest.raises(DataError, match=r"copies.*: cannot be written: Not a directory"):
        Staging(tmp_path / "copies").read(sample, DECODER, OPTIONS)
