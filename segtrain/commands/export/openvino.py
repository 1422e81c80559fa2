"""OpenVINO, for processors and graphics of Intel: an .xml file and its weights in a .bin file beside it."""

from pathlib import Path

from segtrain.commands.export import onnx
from segtrain.commands.export.graph import ExportOptions
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.openvino import import_openvino


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. In fp16 the file holds halves; what is computed in, the device chooses."""
    openvino = import_openvino("--to openvino")
    intermediate = path.with_suffix(".onnx")
    onnx.export(network, intermediate, options)
    model = openvino.Core().read_model(intermediate)
    for key, value in options.note(network.task).metadata().items():
        model.set_rt_info(value, [key])
    openvino.save_model(model, path, compress_to_fp16=options.precision == "fp16")
    intermediate.unlink()
