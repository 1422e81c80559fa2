"""TFLite, for phones and small boards: one image of one size at a time, bytes in, run by LiteRT."""

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.commands.export.graph import explain_failure
from segtrain.commands.export.litert import INPUT, SIGNATURE, ChannelsBehind, example_image, silent, to_behind, to_front
from segtrain.commands.export.network import KEY, ExportedNetwork, Note, read_note, refuse_precision
from segtrain.commands.export.options import ExportOptions
from segtrain.errors import CheckpointError, SegtrainError, reason_of
from segtrain.inference.network import Network, TorchNetwork

NAME = "model.tflite"
PRECISIONS = ("fp32", "fp16", "int8")
FIXED = True
REQUIRES = ("tflite-export", ("litert_converter", "ai_edge_litert"))  # light parts of litert-torch

IDENTIFIER = b"TFL3"  # of the flatbuffer, in the bytes 4 to 7


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. In fp16 the weights are halves; in int8 all but the probabilities is of 8 bits."""
    plain = ExportOptions(**vars(options) | {"precision": "fp32"})  # LiteRT has ways of its own to smaller weights
    try:
        with silent(), torch.no_grad():
            require_libraries("--to tflite", REQUIRES[0], ["litert_torch"])
            import litert_torch

            images = {INPUT: example_image(network, options)}
            content = litert_torch.convert(ChannelsBehind(network, plain), sample_kwargs=images).model_content()
            if options.precision == "fp16":
                content = halve(content)
            elif options.precision == "int8":
                content = quantize(content, options.calibration)
    except (SegtrainError, OSError):
        raise
    except Exception as error:  # whatever has no translation
        raise explain_failure(network, options, error) from error
    path.write_bytes(content)
    append_note(path, Note.of(network.task, options, batch_size=1))


def halve(content: bytes) -> bytes:
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
            yield {INPUT: to_behind(image).contiguous().numpy()}


def quantize(content: bytes, calibration: Callable[[], Iterator[Tensor]]) -> bytes:
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


def read_tflite(path: Path) -> tuple[bytes, Note]:
    """A model with all that lies behind it, and its note. Raises CheckpointError where it is none, or not ours."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if content[4:8] != IDENTIFIER:
        raise CheckpointError(f"{path}: is no TFLite model")
    return content, read_note(_read_record(content, path), path)


def _read_record(content: bytes, path: Path) -> bytes | None:
    """The text of the note; None where nothing of that kind lies behind the model."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        record = archive.getinfo(f"{KEY}.json")
    # NotImplementedError: the archive asks for a newer zip format than Python reads; those of segtrain never do.
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError):
        return None
    try:
        if record.file_size > len(content):
            raise ValueError(f"its {record.compress_size:,} bytes would become {record.file_size:,}")
        return archive.read(record)
    # Bytes that were compressed and are damaged; encrypted ones, and kinds of compression that Python does not know
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: its metadata '{KEY}' is damaged: {reason_of(error)}") from error


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. It runs on the processor, wherever torch would."""
    content, note = read_tflite(path)
    refuse_precision(note, precision, path)
    require_libraries(str(path), "tflite", ["ai_edge_litert"])
    from ai_edge_litert.interpreter import Interpreter

    try:
        with silent():
            interpreter = Interpreter(model_content=content, num_threads=torch.get_num_threads())
            interpreter.allocate_tensors()
        given, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    except (ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(f"{path}: is a damaged TFLite model: {reason_of(error)}") from error

    def run(images: Tensor) -> Tensor:
        interpreter.set_tensor(given["index"], to_behind(images).contiguous().numpy())
        interpreter.invoke()
        return to_front(torch.from_numpy(interpreter.get_tensor(result["index"])))

    return ExportedNetwork(note, torch.device("cpu"), run, path)
