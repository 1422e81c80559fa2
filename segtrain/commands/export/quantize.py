"""Quantization: static, of ONNX graphs to 8 bits with ONNX Runtime."""

import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from segtrain.files import explained_write, workshop

# What has 8-bit kernels; normalization before it and activation behind it stay in float32.
OPERATIONS = [
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Resize",
]


class _Images(CalibrationDataReader):
    """One image after the other, none held."""

    def __init__(self, name: str, images: Iterator[Tensor]):
        self.name = name
        self.images = images

    def get_next(self) -> dict | None:
        image = next(self.images, None)
        return None if image is None else {self.name: image.contiguous().numpy()}


def quantize(model: onnx.ModelProto, calibration: Callable[[], Iterator[Tensor]]) -> onnx.ModelProto:
    """The graph with 8-bit weights, a scale for each channel, and 8-bit activations whose ranges are those of the
    calibration images (1, C, H, W). Raises DataError where the folder for temporary files is full."""
    logging.getLogger("onnxruntime.quantization").setLevel(logging.ERROR)
    temporary = Path(tempfile.gettempdir())
    with (
        explained_write(temporary),
        workshop(Path("segtrain-quantize"), beside=temporary) as folder,
        redirect_stdout(io.StringIO()),
    ):
        whole, prepared, quantized = (folder / name for name in ("whole.onnx", "prepared.onnx", "quantized.onnx"))
        onnx.save(model, whole)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            _Images(model.graph.input[0].name, calibration()),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATIONS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Processors without VNNI add products of 8 bits in 16, which overflow with weights of all 8.
            reduce_range=True,
        )
        return onnx.load(quantized)
