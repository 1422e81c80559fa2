"""TensorFlow SavedModel, for TensorFlow Serving and programs of TensorFlow: one image of one size at a time."""

import os
from pathlib import Path

import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.inference.network import Network
from segtrain.inference.runtimes.exported import INPUT, KEY, ExportedNetwork, explained_damage, read_note
from segtrain.inference.runtimes.tensorflow import SIGNATURE, silent, to_channels_first, to_channels_last

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported, which else tells of itself

NOTES = "assets.extra"  # TensorFlow's folder for what others add to a SavedModel


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. It runs on the processor, wherever torch would. Loading may run code in the folder."""
    file = path / NOTES / f"{KEY}.json"
    note = read_note(file.read_bytes() if file.is_file() else None, path, precision)
    with silent():
        require_libraries(str(path), "savedmodel", ["tensorflow"])
    import tensorflow as tf

    with explained_damage(path, "a SavedModel"), silent():
        signature = tf.saved_model.load(str(path)).signatures[SIGNATURE]
        given = signature.structured_input_signature[1][INPUT]
        signature(**{INPUT: tf.zeros(given.shape, given.dtype)})  # compiles, and talks about it

    def run(images: Tensor) -> Tensor:
        with tf.device("CPU:0"):
            result = signature(**{INPUT: tf.constant(to_channels_last(images).numpy())})[note.output]
        return to_channels_first(torch.from_numpy(result.numpy()))

    return ExportedNetwork(note, torch.device("cpu"), run, path)
