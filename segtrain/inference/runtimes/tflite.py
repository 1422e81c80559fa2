"""TFLite, for phones and small boards: one image of one size at a time, bytes in, run by LiteRT."""

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.errors import CheckpointError, reason_of
from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import KEY, ExportedNetwork, explained_damage, read_note
from segtrain.inference.runtimes.tensorflow import silent, to_channels_first, to_channels_last

IDENTIFIER = b"TFL3"  # of the flatbuffer, in the bytes 4 to 7


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. It runs on the processor, wherever torch would."""
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise CheckpointError(f"{path}: is not a TFLite model")
    note = read_note(_read_record(content, path), path, precision)
    require_libraries(str(path), "tflite", ["ai_edge_litert"])
    from ai_edge_litert.interpreter import Interpreter

    with explained_damage(path, "a TFLite model"), silent():
        interpreter = Interpreter(model_content=content, num_threads=torch.get_num_threads())
        interpreter.allocate_tensors()
        given, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(images: Tensor) -> Tensor:
        interpreter.set_tensor(given["index"], to_channels_last(images).contiguous().numpy())
        interpreter.invoke()
        return to_channels_first(torch.from_numpy(interpreter.get_tensor(result["index"])))

    return ExportedNetwork(note, torch.device("cpu"), run, path)


def _read_record(content: bytes, path: Path) -> bytes | None:
    """The text of the note, a file of the zip archive behind the model; None where the archive lacks it."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        record = archive.getinfo(f"{KEY}.json")
    # NotImplementedError: the archive asks for a newer zip format than Python reads; those of segtrain never do.
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError):
        return None
    try:
        return archive.open(record).read(len(content))  # no more, so that a record that swells takes no memory
    except Exception as error:  # zipfile has a class for each way in which a record can be damaged
        raise CheckpointError(f"{path}: its metadata '{KEY}' is damaged: {reason_of(error)}") from error
