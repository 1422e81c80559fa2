"""TensorFlow SavedModel, for TensorFlow Serving and programs of TensorFlow: one image of one size at a time."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segtrain.command import require_libraries
from segtrain.commands.export.graph import explain_failure
from segtrain.commands.export.litert import INPUT, SIGNATURE, ChannelsBehind, example_image, silent, to_behind, to_front
from segtrain.commands.export.network import KEY, ExportedNetwork, Note, read_note, refuse_precision
from segtrain.commands.export.options import ExportOptions
from segtrain.errors import CheckpointError, SegtrainError, reason_of
from segtrain.inference.network import Network, TorchNetwork

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
    refuse_precision(note, precision, path)
    with silent():
        require_libraries(str(path), "savedmodel", ["tensorflow"])
    import tensorflow as tf

    try:
        with silent():
            require_harmless_graph((path / "saved_model.pb").read_bytes(), path)
            signature = tf.saved_model.load(str(path)).signatures[SIGNATURE]
            given = signature.structured_input_signature[1][INPUT]
            signature(**{INPUT: tf.zeros(given.shape, given.dtype)})  # compiles, and talks about it
    except CheckpointError:
        raise
    except Exception as error:  # the classes that TensorFlow raises have no common base
        raise CheckpointError(f"{path}: is a damaged SavedModel: {reason_of(error)}") from error

    def run(images: Tensor) -> Tensor:
        with tf.device("CPU:0"):
            result = signature(**{INPUT: tf.constant(to_behind(images).numpy())})[note.output]
        return to_front(torch.from_numpy(result.numpy()))

    return ExportedNetwork(note, torch.device("cpu"), run, path)


COMPUTING = {"Identity", "NoOp", "ReadVariableOp", "StatefulPartitionedCall", "XlaCallModule"}
# What saves and restores the weights; nothing calls it when a model is loaded and run.
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


OBJECTS = {"bare_concrete_function", "function", "user_object", "variable"}  # resources run functions when loaded


def require_harmless_graph(content: bytes, path: Path) -> None:
    """Raises CheckpointError where a saved_model.pb holds more than variables and functions that compute with them."""
    from tensorflow.core.protobuf import saved_model_pb2

    graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    if len(graphs) != 1 or not graphs[0].object_graph_def.nodes:  # the graph itself would be run
        raise _refuse(path, "is of TensorFlow 1")
    (graph,) = graphs
    if foreign := {node.WhichOneof("kind") for node in graph.object_graph_def.nodes} - OBJECTS:
        raise _refuse(path, f"holds {', '.join(sorted(map(str, foreign)))}")
    storing = _storing_functions(graph)
    for function in graph.graph_def.library.function:
        name = function.signature.name
        operations, called = {node.op for node in function.node_def}, _called_by(function)
        foreign = (operations - (STORING if name in storing else COMPUTING)) | (called & storing)
        if foreign:
            raise _refuse(path, f"has a function {name} that holds {', '.join(sorted(foreign))}")


def _refuse(path: Path, found: str) -> CheckpointError:
    return CheckpointError(f"{path}: is not loaded: it {found}, which segtrain never writes")


def _storing_functions(graph: Any) -> set[str]:
    """Names of the functions that a MetaGraphDef says save and restore it, unless they are among those of the model."""
    stores = {name.partition(":")[0] for name in (graph.saver_def.save_tensor_name, graph.saver_def.restore_op_name)}
    named = {node.attr["f"].func.name for node in graph.graph_def.node if node.name in stores}
    return named - set(graph.object_graph_def.concrete_functions)


def _called_by(function: Any) -> set[str]:
    """Names of the functions that a FunctionDef hands to its operations."""
    values = [value for node in function.node_def for value in node.attr.values()]
    return {called.name for value in values for called in (value.func, *value.list.func)}
