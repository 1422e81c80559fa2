import sys

import onnx
import pytest
import torch

from segtrain.commands.export.openvino import export
from segtrain.errors import ConfigError
from segtrain.inference.runtimes.openvino import import_openvino
from tests.commands.export.exporting import (
    UNET,
    assert_equal_networks,
    assert_equal_predictions,
    assert_labels_predict,
    images_of,
    loaded,
    options_of,
    real_network,
    refused,
    tiny_network,
)

openvino = import_openvino("the test")  # the plain import would send a message


@pytest.fixture
def tiny(tmp_path):
    """A small network in a file that may be broken."""
    export(tiny_network(), tmp_path / "tiny.xml", options_of())
    return tmp_path / "tiny.xml"


def test_any_number_of_images_of_any_size(tmp_path):
    network = real_network(**UNET)
    export(network, tmp_path / "model.xml", options_of())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    exported = loaded(tmp_path / "model.xml")
    assert exported.task == network.task and exported.input_size is None and exported.batch_size is None
    assert_equal_networks(exported, network)
    assert_equal_predictions(exported, network)


def test_what_others_read_in_the_file(tiny):
    model = openvino.Core().read_model(tiny)
    assert model.get_rt_info(["names"]).astype(str) == '["class 0", "class 1", "class 2"]'
    assert model.input("images").partial_shape.to_string() == "[?,3,?,?]"
    assert model.output("probabilities").partial_shape.to_string() == "[?,3,?,?]"


@pytest.mark.parametrize("network", [tiny_network(1), tiny_network(2, multilabel=True)], ids=["binary", "multilabel"])
def test_labels(tmp_path, network):
    network.task = network.task.with_thresholds([0.3, 0.6][: len(network.task.thresholds)])
    export(network, tmp_path / "model.xml", options_of(labels=True))
    assert_labels_predict(loaded(tmp_path / "model.xml"), network)


def test_halves_take_less_space(tmp_path):
    network = tiny_network()
    for precision in ("fp32", "fp16"):
        export(network, tmp_path / f"{precision}.xml", options_of(precision=precision))
    assert_equal_networks(loaded(tmp_path / "fp16.xml"), network, atol=0.02)
    assert (tmp_path / "fp16.bin").stat().st_size < (tmp_path / "fp32.bin").stat().st_size


def test_bytes(tmp_path):
    network = tiny_network()
    images = [images_of(1, 40, 56, seed=seed) for seed in range(4)]
    export(network, tmp_path / "model.xml", options_of(precision="int8", calibration=lambda: iter(images)))
    given = loaded(tmp_path / "model.xml").probabilities(images_of(2, 45, 70))
    expected = network.probabilities(images_of(2, 45, 70))
    assert not torch.equal(given, expected)
    assert (given.argmax(1) == expected.argmax(1)).float().mean() > 0.95


def test_a_file_of_somebody_else(tmp_path):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "theirs", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), tmp_path / "x.onnx")
    path = tmp_path / "theirs.xml"
    openvino.save_model(openvino.Core().read_model(tmp_path / "x.onnx"), path)
    assert refused(path) == (
        f"{path}: was not exported by segtrain: its metadata has no 'segtrain'; export one with python -m segtrain "
        f"export RUN"
    )


def test_damaged_files(tmp_path, tiny):
    none = tmp_path / "none.xml"
    assert refused(none) == f"{none}: does not exist"
    whole = tiny.read_bytes()
    for content in (whole[: len(whole) // 2], b"no model", b""):
        tiny.write_bytes(content)
        assert refused(tiny).startswith(f"{tiny}: is not a model of OpenVINO or is damaged: ")
    tiny.write_bytes(whole)
    tiny.with_suffix(".bin").unlink()
    assert refused(tiny) == f"{tiny}: there is no tiny.bin; OpenVINO needs both files"


def test_without_the_library(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError) as error:
        loaded(tiny)
    assert str(error.value) == f'{tiny} needs openvino; in the segtrain folder, run: pip install -e ".[openvino]"'
