"""TensorFlow SavedModel, for TensorFlow Serving and programs of TensorFlow: one image of one size at a time."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.commands.export.graph import ExportOptions, explained_failure
from segtrain.commands.export.litert import ChannelsLast, example_image
from segtrain.inference.network import TorchNetwork
from segtrain.inference.runtimes.exported import INPUT
from segtrain.inference.runtimes.savedmodel import NOTES
from segtrain.inference.runtimes.tensorflow import SIGNATURE, silent

if TYPE_CHECKING:
    import tensorflow

CALL_VERSION = 9  # of XlaCallModule: not the newest that TensorFlow 2.21 writes, so that older ones read it


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. The graph is one operation, XlaCallModule, that holds the network as StableHLO."""
    image = example_image(network, options)
    with explained_failure(network, options), silent(), torch.no_grad():
        require_libraries("--to savedmodel", "savedmodel-export", ["litert_torch", "tensorflow"])
        module = ChannelsLast(network, options)
        ((output, result),) = module(image).items()
        translated = _translate(torch.export.export(module, (image,), strict=False))
        _save(*translated, given=image, output=output, result=result, path=path)
    (path / NOTES).mkdir()
    for name, text in options.note(network.task, batch_size=1).metadata().items():
        (path / NOTES / f"{name}.json").write_text(text, encoding="utf-8")


def _translate(program: torch.export.ExportedProgram) -> tuple[bytes, list[np.ndarray | None]]:
    """The program as a portable artifact of StableHLO, and its arguments: weights, and None for the image."""
    from litert_converter.mlir import passmanager
    from litert_converter.mlir.dialects import stablehlo
    from litert_torch import backend

    lowered = backend.export.exported_program_to_mlir(program, inline_constants=False)
    with lowered.ctx:
        passmanager.PassManager.parse("builtin.module(inline,cse,canonicalize,cse)").run(lowered.module.operation)
        # Of the two dialects that it uses for constants the artifact knows one.
        text = lowered.module.operation.get_asm().replace("arith.constant", "stablehlo.constant")
        artifact = stablehlo.serialize_portable_artifact_str(text, stablehlo.get_minimum_version())
    arguments = [
        None if item.input_spec.is_user_input else lowered.state_dict[item.input_spec.name].detach().numpy()
        for item in lowered.input_signature
    ]
    return artifact, arguments


def _save(
    artifact: bytes, arguments: list[np.ndarray | None], *, given: Tensor, output: str, result: Tensor, path: Path
) -> None:
    """Write the folder: `artifact` as a function of images like `given`, with an output like `result`."""
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python import xla

    holder = tf.Module()
    holder.weights = [tf.Variable(value, trainable=False) for value in arguments if value is not None]
    dtype = tf.as_dtype(result.numpy().dtype)

    def call(images: "tensorflow.Tensor") -> dict[str, "tensorflow.Tensor"]:
        weights = iter(holder.weights)
        (made,) = xla.call_module(
            [images if value is None else next(weights) for value in arguments],
            version=CALL_VERSION,
            module=artifact,
            Tout=[dtype],
            Sout=[list(result.shape)],
            platforms=["CPU"],
            disabled_checks=["platform"],  # there is nothing in it that depends on the device
        )
        return {output: made}

    spec = tf.TensorSpec(list(given.shape), tf.as_dtype(given.numpy().dtype), name=INPUT)
    holder.call = tf.function(call, input_signature=[spec], autograph=False)
    tf.saved_model.save(holder, str(path), signatures={SIGNATURE: holder.call})
