"""A ModelConfig by hand; where tritonclient is installed, Triton's own message reads it too."""

import json

import onnxruntime
import pytest

from segtrain.commands.export import triton
from tests.commands.export.exporting import options_of, tiny_network

KINDS = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32", "tensor(int32)": "TYPE_INT32"}


@pytest.mark.parametrize(
    ("network", "options", "images", "output"),
    [
        (
            tiny_network(),
            {},
            "TYPE_UINT8 dims: [ 3, -1, -1 ]",
            '"probabilities" data_type: TYPE_FP32 dims: [ 3, -1, -1 ]',
        ),
        (
            tiny_network(2, multilabel=True),
            {"labels": True},
            "TYPE_UINT8 dims: [ 3, -1, -1 ]",
            '"labels" data_type: TYPE_UINT8 dims: [ 2, -1, -1 ]',
        ),
        (
            tiny_network(1, scale=10000.0),
            {"labels": True, "size": (32, 48)},
            "TYPE_FP32 dims: [ 3, 32, 48 ]",
            '"labels" data_type: TYPE_UINT8 dims: [ 32, 48 ]',
        ),
        (
            tiny_network(300, ignore_index=300),
            {"labels": True},
            "TYPE_UINT8 dims: [ 3, -1, -1 ]",
            '"labels" data_type: TYPE_INT32 dims: [ -1, -1 ]',
        ),
    ],
)
def test_config_says_what_goes_in_and_out(tmp_path, network, options, images, output):
    triton.export(network, tmp_path / "model", options_of(**options))
    lines = (tmp_path / "model" / "config.pbtxt").read_text().splitlines()
    assert lines[1:6] == [
        'backend: "onnxruntime"',
        "max_batch_size: 8",
        f'input [ {{ name: "images" data_type: {images} }} ]',
        f"output [ {{ name: {output} }} ]",
        "dynamic_batching { }",
    ]


def test_triton_reads_it_as_the_session_of_the_model(tmp_path):
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    names = ['say "hi" \\', "Straße", "two\nlines", "🚗"]
    network = tiny_network(4)
    network.task = network.task.model_copy(update={"names": names})
    triton.export(network, tmp_path / "model", options_of())
    config = text_format.Parse((tmp_path / "model" / "config.pbtxt").read_text(), messages.ModelConfig())
    assert json.loads(config.parameters["names"].string_value) == names
    assert json.loads(config.parameters["colors"].string_value) == [list(color) for color in network.task.colors]
    session = onnxruntime.InferenceSession(tmp_path / "model" / "1" / "model.onnx")
    for given, said in ((session.get_inputs(), config.input), (session.get_outputs(), config.output)):
        assert [(item.name, KINDS[item.type]) for item in given] == [
            (item.name, messages.DataType.Name(item.data_type)) for item in said
        ]
        shapes = [[side if isinstance(side, int) else -1 for side in item.shape] for item in given]
        assert shapes == [[-1, *item.dims] for item in said]
    assert config.max_batch_size == 8 and config.name == "" and config.HasField("dynamic_batching")
