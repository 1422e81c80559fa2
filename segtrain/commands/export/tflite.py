"""TFLite, for phones and small boards: one image of one size at a time, bytes in, run by LiteRT."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.commands.export.graph import ExportOptions, explained_failure
from segtrain.commands.export.litert import ChannelsLast, example_image
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.exported import INPUT, Note
from segtrain.inference.runtimes.tensorflow import SIGNATURE, silent, to_channels_last


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. In fp16 the weights are halves; in int8 all but the probabilities is of 8 bits."""
    plain = replace(options, precision="fp32")  # LiteRT has ways of its own to smaller weights
    with explained_failure(network, options), silent(), torch.no_grad():
        require_libraries("--to tflite", "tflite-export", ["litert_torch"])
        import litert_torch

        images = {INPUT: example_image(network, options)}
        content = litert_torch.convert(ChannelsLast(network, plain), sample_kwargs=images).model_content()
        if options.precision == "fp16":
            content = _halve(content)
        elif options.precision == "int8":
            content = _quantize(content, options.calibration)
    path.write_bytes(content)
    append_note(path, options.note(network.task, batch_size=1))


def _halve(content: bytes) -> bytes:
    """The model with weights of 16 bits, which are widened before they are used."""
    from ai_edge_quantizer import quantizer

    maker = quantizer.Quantizer(content)
    maker.add_weight_only_config(
        regex=".*",
        operation_name=quantizer.qtyping.TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return bytes(maker.quantize(enable_progress_report=False).quantized_model)


class _Samples:
    """Calibration images as the model takes them; they are gone through twice."""

    def __init__(self, images: Callable[[], Iterator[Tensor]]):
        self.images = images

    def __iter__(self) -> Iterator[dict]:
        for image in self.images():
            yield {INPUT: to_channels_last(image).contiguous().numpy()}


def _quantize(content: bytes, calibration: Callable[[], Iterator[Tensor]]) -> bytes:
    """The model with weights and activations of 8 bits, whose ranges are those of the calibration images."""
    from ai_edge_quantizer import quantizer, recipe

    maker = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    for operation in ("SOFTMAX", "LOGISTIC", "OUTPUT"):  # probabilities stay float32
        kind, plain = quantizer.qtyping.TFLOperationName(operation), quantizer.AlgorithmName.NO_QUANTIZE
        maker.update_quantization_recipe(".*", kind, algorithm_key=plain)
    ranges = maker.calibrate({SIGNATURE: _Samples(calibration)}, num_threads=torch.get_num_threads())
    return bytes(maker.quantize(ranges, enable_progress_report=False).quantized_model)


def append_note(path: Path, note: Note) -> None:
    """Write the note and what else it tells as files of a zip archive behind the model, where TFLite's metadata keeps
    associated files. Interpreters do not read that far."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in note.metadata().items():
            archive.writestr(f"{name}.json", text)
