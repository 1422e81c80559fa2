"""TensorFlow SavedModel, for TensorFlow Serving and programs of TensorFlow: one image of one size at a time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segtrain.errors import CheckpointError, SegtrainError
from segtrain.export.graph import explain_failure
from segtrain.export.litert import (
    INPUT,
    SIGNATURE,
    ChannelsBehind,
    example_image,
    require_shapes,
    silent,
    to_behind,
    to_front,
)
from segtrain.export.network import KEY, ExportedNetwork, Note, read_note, refuse_precision, require_libraries
from segtrain.export.options import ExportOptions
from segtrain.infer.network import Network, TorchNetwork

if TYPE_CHECKING:
    import tensorflow

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported, which else tells of itself

NAME = "savedmodel"
PRECISIONS = ("fp32", "fp16")
FIXED = True
REQUIRES = ("savedmodel-export", ("litert_converter",))  # the others take half a minute to import, and talk

NOTES = "assets.extra"  # TensorFlow's place for what others add to a SavedModel
CALL_VERSION = 9  # of XlaCallModule: not the newest that TensorFlow 2.21 writes, so that older ones read it


def export(network: TorchNetwork, path: Path, options: ExportOptions) -> None:
    """See the package. The graph is one operation, XlaCallModule, that holds the network as StableHLO."""
    image = example_image(network, options)
    try:
        with silent(), torch.no_grad():
            require_libraries("--to savedmodel", REQUIRES[0], ["litert_torch", "tensorflow"])
            module = ChannelsBehind(network, options)
            ((output, result),) = module(image).items()
            translated = _translate(torch.export.export(module, (image,), strict=False))
            _save(*translated, given=image, output=output, result=result, path=path)
    except (SegtrainError, OSError):
        raise
    except Exception as error:  # whatever has no translation
        raise explain_failure(network, options, error) from error
    (path / NOTES).mkdir()
    for name, text in Note.of(network.task, options, batch_size=1).metadata().items():
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


def load(path: Path, *, device: torch.device, precision: str | None) -> Network:
    """See the package. It runs on the processor, wherever torch would. A SavedModel is a program: one that holds other
    operations than `export` writes is refused."""
    file = path / NOTES / f"{KEY}.json"
    try:
        note = read_note(file.read_bytes() if file.is_file() else None, path)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
    refuse_precision(path, precision)
    with silent():
        require_libraries(str(path), "savedmodel", ["tensorflow"])
    import tensorflow as tf

    try:
        with silent():
            require_harmless_graph((path / "saved_model.pb").read_bytes(), path)
            signature = tf.saved_model.load(str(path)).signatures[SIGNATURE]
            given, result = signature.structured_input_signature[1][INPUT], signature.structured_outputs[note.output]
            require_shapes(note, _port(given), _port(result), path)
            signature(**{INPUT: tf.zeros(given.shape, given.dtype)})  # compiles, and talks about it
    except CheckpointError:
        raise
    except Exception as error:  # the classes that TensorFlow raises have no common base
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CheckpointError(f"{path}: is a damaged SavedModel: {reason[:200]}") from error

    def run(images: Tensor) -> Tensor:
        with tf.device("CPU:0"):
            result = signature(**{INPUT: tf.constant(to_behind(images).numpy())})[note.output]
        return to_front(torch.from_numpy(result.numpy()))

    return ExportedNetwork(note, torch.device("cpu"), run)


def _port(spec: "tensorflow.TensorSpec") -> tuple[tuple[int, ...], str]:
    return tuple(spec.shape.as_list()), spec.dtype.name


COMPUTING = {"Identity", "NoOp", "ReadVariableOp", "StatefulPartitionedCall", "XlaCallModule"}
# What saves and restores the weights. It needs the name of a file, which nothing that computes could give it.
STORING = COMPUTING | {
    "AssignVariableOp",
    "Const",
    "DisableCopyOnRead",
    "MergeV2Checkpoints",
    "Pack",
    "RestoreV2",
    "SaveV2",
    "Select",
    "ShardedFilename",
    "StaticRegexFullMatch",
    "StringJoin",
}


def require_harmless_graph(content: bytes, path: Path) -> None:
    """Raises CheckpointError where a saved_model.pb holds a function that could do more than compute."""
    for name, operations, takes_file in _functions(content):
        if foreign := operations - (STORING if takes_file else COMPUTING):
            what = ", ".join(sorted(foreign))
            raise CheckpointError(
                f"{path}: is not loaded: its function {name} holds {what}, which segtrain never writes"
            )


def _functions(content: bytes) -> Iterator[tuple[str, set[str], bool]]:
    """Name and operations of each function, and whether its first argument is text."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    for graph in saved_model_pb2.SavedModel.FromString(content).meta_graphs:
        if not graph.object_graph_def.nodes:  # of TensorFlow 1: the graph itself would be run
            yield "graph", {node.op for node in graph.graph_def.node}, False
        for function in graph.graph_def.library.function:
            arguments: Any = function.signature.input_arg
            takes_file = bool(arguments) and arguments[0].type == types_pb2.DT_STRING
            yield function.signature.name, {node.op for node in function.node_def}, takes_file
