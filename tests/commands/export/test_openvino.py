import sys

import pytest
import torch

from segtrain.commands.export.openvino import export
from segtrain.errors import ConfigError
from segtrain.inference.runtimes.openvino import import_openvino
from tests.commands.export.exporting import images_of, loaded, options_of, refused, tiny_network

openvino = import_openvino("the test")  # the plain import would send a message


@pytest.fixture
def tiny(tmp_path):
    """A small network in a file that may be broken."""
    export(tiny_network(), tmp_path / "tiny.xml", options_of())
    return tmp_path / "tiny.xml"


def test_what_others_read_in_the_files(tiny):
    assert sorted(path.name for path in tiny.parent.iterdir()) == ["tiny.bin", "tiny.xml"]
    model = openvino.Core().read_model(tiny)
    assert model.get_rt_info(["names"]).astype(str) == '["class 0", "class 1", "class 2"]'
    assert model.input("images").partial_shape.to_string() == "[?,3,?,?]"
    assert model.output("probabilities").partial_shape.to_string() == "[?,3,?,?]"


def test_bytes(tmp_path):
    network = tiny_network()
    images = [images_of(1, 40, 56, seed=seed) for seed in range(4)]
    export(network, tmp_path / "model.xml", options_of(precision="int8", calibration=lambda: iter(images)))
    given = loaded(tmp_path / "model.xml").probabilities(images_of(2, 45, 70))
    expected = network.probabilities(images_of(2, 45, 70))
    assert not torch.equal(given, expected)
    assert (given.argmax(1) == expected.argmax(1)).float().mean() > 0.95


def test_halves_take_less_space(tmp_path, tiny):
    export(tiny_network(), tmp_path / "half.xml", options_of(precision="fp16"))
    assert (tmp_path / "half.bin").stat().st_size < tiny.with_suffix(".bin").stat().st_size


def test_without_its_weights(tiny):
    tiny.with_suffix(".bin").unlink()
    assert refused(tiny) == f"{tiny}: there is no tiny.bin; OpenVINO needs both files"


def test_without_the_library(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError) as error:
        loaded(tiny)
    assert str(error.value) == f'{tiny} needs openvino; in the folder of segtrain: pip install -e ".[openvino]"'
