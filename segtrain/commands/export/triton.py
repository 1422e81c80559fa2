"""Model of a repository of Triton Inference Server: 1/model.onnx, and config.pbtxt, which says what goes in and out."""

import json
from pathlib import Path

import onnx

from segtrain.commands.export.graph import ExportOptions
from segtrain.commands.export.onnx import export as export_onnx
from segtrain.inference.network import TorchNetwork

TRITON_BATCH = 8
TRITON_TYPES = {
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
}


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package."""
    file = path / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    export_onnx(network, file, options)
    (path / "config.pbtxt").write_text(build_model_config(onnx.load(file)), encoding="ascii")


def build_model_config(model: onnx.ModelProto) -> str:
    """The ModelConfig of an ONNX graph whose first axis is the number of images, as text.

    It has no name: a model is called as its folder is. `parameters` has "names" and "colors" of the classes, the JSON
    of the graph's metadata, which clients get with the configuration. See
    https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto.
    """
    metadata = {item.key: item.value for item in model.metadata_props}
    blocks = [
        "# Written by segtrain; the model has the name of this folder.",
        'backend: "onnxruntime"',
        f"max_batch_size: {TRITON_BATCH}",
        *(f"input [ {_tensor(value)} ]" for value in model.graph.input),
        *(f"output [ {_tensor(value)} ]" for value in model.graph.output),
        "dynamic_batching { }",
        *(
            f"parameters {{ key: {json.dumps(key)} value {{ string_value: {json.dumps(metadata[key])} }} }}"
            for key in ("names", "colors")
        ),
    ]
    return "\n".join(blocks) + "\n"


def _tensor(value: onnx.ValueInfoProto) -> str:
    """Without its first axis, which Triton adds; -1 where an axis is open."""
    kind = value.type.tensor_type
    dims = ", ".join(str(axis.dim_value or -1) for axis in kind.shape.dim[1:])
    return f"{{ name: {json.dumps(value.name)} data_type: {TRITON_TYPES[kind.elem_type]} dims: [ {dims} ] }}"
