"""config.pbtxt, read with Triton's own message: `make others`."""

import json

import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from segtrain.commands.export import triton
from tests.commands.export.exporting import options_of, tiny_network

KINDS = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32", "tensor(int32)": "TYPE_INT32"}


def test_triton_reads_it_as_the_session_of_the_model(tmp_path):
    names = ['say "hi" \\', "Straße", "two\nlines", "🚗"]
    network = tiny_network(4)
    network.task = network.task.model_copy(update={"names": names})
    triton.export(network, tmp_path / "model", options_of())
    config = text_format.Parse((tmp_path / "model" / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert json.loads(config.parameters["names"].string_value) == names
    assert json.loads(config.parameters["colors"].string_value) == [list(color) for color in network.task.colors]
    session = onnxruntime.InferenceSession(tmp_path / "model" / "1" / "model.onnx")
    for given, said in ((session.get_inputs(), config.input), (session.get_outputs(), config.output)):
        assert [(item.name, KINDS[item.type]) for item in given] == [
            (item.name, model_config_pb2.DataType.Name(item.data_type)) for item in said
        ]
        shapes = [[side if isinstance(side, int) else -1 for side in item.shape] for item in given]
        assert shapes == [[-1, *item.dims] for item in said]
    assert config.max_batch_size == 8 and config.name == "" and config.HasField("dynamic_batching")
