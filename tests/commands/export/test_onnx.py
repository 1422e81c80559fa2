import json
import sys

import onnx
import pytest
import torch

from segtrain.commands.export.onnx import export
from segtrain.errors import CheckpointError, ConfigError
from segtrain.inference.predictor import Predictor
from segtrain.inference.runtimes import onnx as onnx_runtime
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


def axes_of(value: onnx.ValueInfoProto) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


@pytest.fixture(scope="module")
def network():
    return real_network(**UNET)


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export(network, path, options_of())
    return path


@pytest.fixture
def tiny(tmp_path):
    """A small network in a file that may be broken."""
    network, path = tiny_network(), tmp_path / "tiny.onnx"
    export(network, path, options_of())
    return network, path


def test_any_number_of_images_of_any_size(path, network):
    exported = loaded(path)
    assert exported.task == network.task and exported.input_size is None and exported.batch_size is None
    assert_equal_networks(exported, network)
    assert_equal_predictions(exported, network)


@pytest.mark.parametrize("name", ["DeepLabV3Plus", "FPN", "PSPNet", "Segformer"])
def test_other_architectures(tmp_path, name):
    network = real_network(name=name, encoder_name="tu-resnet10t")
    export(network, tmp_path / "model.onnx", options_of())
    assert_equal_networks(loaded(tmp_path / "model.onnx"), network)


def test_what_others_read_in_the_file(path, network):
    model = onnx.load(path)
    properties = {item.key: item.value for item in model.metadata_props}
    assert json.loads(properties["names"]) == ["class 0", "class 1", "class 2"]
    assert json.loads(properties["colors"]) == [list(color) for color in network.task.colors]
    assert json.loads(properties["segtrain"])["task"]["names"] == ["class 0", "class 1", "class 2"]
    (given,), (taken,) = model.graph.input, model.graph.output
    assert (given.name, given.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
    assert (taken.name, taken.type.tensor_type.elem_type) == ("probabilities", onnx.TensorProto.FLOAT)
    assert axes_of(given) == axes_of(taken) == ["batch", 3, "height", "width"]
    assert b"graph.py" not in path.read_bytes()  # it does not tell where it was made


@pytest.mark.parametrize(
    "network",
    [tiny_network(), tiny_network(1), tiny_network(2, multilabel=True)],
    ids=lambda network: network.task.mode,
)
def test_labels(tmp_path, network):
    thresholds = [0.3, 0.6][: len(network.task.thresholds)]
    network.task = network.task.with_thresholds(thresholds)
    export(network, tmp_path / "labels.onnx", options_of(labels=True))
    model, exported = onnx.load(tmp_path / "labels.onnx"), loaded(tmp_path / "labels.onnx")
    assert model.graph.output[0].name == "labels"
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert_labels_predict(exported, network)


def test_one_class_and_layers_give_probabilities(tmp_path):
    for network in (tiny_network(1), tiny_network(2, multilabel=True)):
        export(network, tmp_path / "model.onnx", options_of())
        exported = loaded(tmp_path / "model.onnx")
        assert exported.task == network.task
        assert_equal_networks(exported, network)


def test_scaled_images_are_float32(tmp_path):
    network = tiny_network(scale=10000)
    export(network, tmp_path / "model.onnx", options_of())
    images = torch.rand(2, 3, 45, 70) * 255
    torch.testing.assert_close(
        loaded(tmp_path / "model.onnx").probabilities(images), network.probabilities(images), rtol=0, atol=1e-5
    )


def test_one_size_only(tmp_path):
    network = tiny_network()
    export(network, tmp_path / "model.onnx", options_of(size=(40, 56)))
    exported = loaded(tmp_path / "model.onnx")
    assert exported.input_size == (40, 56)
    assert axes_of(onnx.load(tmp_path / "model.onnx").graph.input[0]) == ["batch", 3, 40, 56]
    assert_equal_networks(exported, network, shapes=[(1, 40, 56), (3, 40, 56)])
    image = images_of(1, 90, 130)[0].permute(1, 2, 0).numpy()  # in tiles of that size
    agree = Predictor([exported]).predict(image) == Predictor([network]).predict(image)
    assert agree.mean() > 0.95


def test_halves(tmp_path):
    network = tiny_network()
    export(network, tmp_path / "model.onnx", options_of(precision="fp16"))
    kinds = {item.data_type for item in onnx.load(tmp_path / "model.onnx").graph.initializer if len(item.dims) == 4}
    assert onnx.TensorProto.FLOAT16 in kinds
    exported = loaded(tmp_path / "model.onnx")
    assert_equal_networks(exported, network, atol=0.02)
    images = images_of(1, 45, 70)
    assert not torch.equal(exported.probabilities(images), network.probabilities(images))


def test_bytes_are_calibrated_one_image_after_the_other(tmp_path):
    network, waiting = tiny_network(), []

    def calibration():
        for seed in range(5):
            waiting.append(seed)
            yield images_of(1, 40 + seed, 56, seed=seed)

    export(network, tmp_path / "model.onnx", options_of(precision="int8", calibration=calibration))
    assert waiting == [0, 1, 2, 3, 4]
    model, exported = onnx.load(tmp_path / "model.onnx"), loaded(tmp_path / "model.onnx")
    weights = [item for item in model.graph.initializer if item.data_type == onnx.TensorProto.INT8 and item.dims]
    assert sorted(tuple(item.dims) for item in weights if len(item.dims) == 4) == [(3, 4, 1, 1), (4, 3, 3, 3)]
    scales = [
        len(onnx.numpy_helper.to_array(item)) for item in model.graph.initializer if "scale" in item.name and item.dims
    ]
    assert 4 in scales and 3 in scales  # one for each channel
    images = images_of(1, 45, 70)
    expected, given = network.probabilities(images), exported.probabilities(images)
    assert not torch.equal(given, expected)
    assert (given.argmax(1) == expected.argmax(1)).float().mean() > 0.95


def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "theirs.onnx"
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "theirs", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    assert refused(path) == (
        f"{path}: was not exported by segtrain: its metadata has no 'segtrain'; export one with python -m segtrain "
        f"export RUN"
    )


def test_damaged_files(tmp_path, tiny):
    _, path = tiny
    assert refused(tmp_path / "none.onnx") == f"{tmp_path / 'none.onnx'}: does not exist"
    for name, content in (("half.onnx", path.read_bytes()[:700]), ("text.onnx", b"no model"), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        text = refused(tmp_path / name)
        assert text.startswith(f"{tmp_path / name}: is not an ONNX file that can be run or is damaged: ")
        assert "ONNXRuntimeError" not in text and "/" not in text.partition("damaged: ")[2]


def test_a_file_for_later_runtimes(tiny):
    _, path = tiny
    model = onnx.load(path)
    model.ir_version = 99
    onnx.save(model, path)
    start = f"{path}: is not an ONNX file that can be run or is damaged: Unsupported model IR version: 99, "
    assert refused(path).startswith(start)


def test_damaged_metadata(tiny):
    _, path = tiny
    model = onnx.load(path)
    item = model.metadata_props[0].SerializeToString()
    path.write_bytes(model.SerializeToString().replace(item, item.replace(b"{", b"\xff")))
    assert "or is damaged: 'utf-8' codec can't decode byte 0xff" in refused(path)


def test_what_the_runtime_refuses_is_told_in_a_line(tiny):
    _, path = tiny
    with pytest.raises(CheckpointError) as error:
        loaded(path).probabilities(images_of(1, 45, 70).float())
    assert str(error.value).startswith(f"{path}: fails on images 1 x 3 x 45 x 70 float32: ")
    assert "tensor(float)" in str(error.value) and "\n" not in str(error.value)


def test_without_cuda(tiny):
    _, path = tiny
    with pytest.raises(ConfigError) as error:
        onnx_runtime.load(path, device=torch.device("cuda"), precision=None)
    assert str(error.value) == (
        f"{path}: this onnxruntime does not support CUDA; pip install onnxruntime-gpu, or use --device cpu"
    )


def test_what_is_missing_says_how_it_is_installed(tiny, monkeypatch):
    _, path = tiny
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError) as error:
        loaded(path)
    assert str(error.value) == f'{path} needs onnxruntime; in the segtrain folder, run: pip install -e ".[onnx]"'
