"""Forms: what a model can be exported to, and what its file is called."""

import argparse
from pathlib import Path
from typing import NamedTuple


class Form(NamedTuple):
    """A form that models are written in."""

    file: str
    """Name of its file or folder in the run folder."""
    precisions: tuple[str, ...]
    extra: str = ""
    """Extra of segtrain that writes it; empty where none is needed."""
    libraries: tuple[str, ...] = ()
    """Modules of that extra, looked for before anything is done."""
    one_size: bool = False
    """Its graph takes images of one size only."""
    model: str = ""
    """File in the folder that is compared, where the folder is one that a program around the model needs."""


ONNX = ("onnx", "onnxscript", "onnxruntime")
FORMS = {
    "onnx": Form("model.onnx", ("fp32", "fp16", "int8"), "onnx", ONNX),
    "torchscript": Form("model.torchscript", ("fp32", "fp16")),
    "exported-program": Form("model.pt2", ("fp32", "fp16")),
    "openvino": Form("model.xml", ("fp32", "fp16", "int8"), "openvino", ONNX),
    # Of the libraries for the next two, light parts of litert-torch; the others take half a minute to import, and talk.
    "savedmodel": Form("savedmodel", ("fp32", "fp16"), "savedmodel-export", ("litert_converter",), one_size=True),
    "tflite": Form(
        "model.tflite",
        ("fp32", "fp16", "int8"),
        "tflite-export",
        ("litert_converter", "ai_edge_litert"),
        one_size=True,
    ),
    "hub": Form("hub", ("fp32",)),
    "space": Form("space", ("fp32", "fp16", "int8"), "onnx", ONNX, model="model.onnx"),
    "triton": Form("triton/model", ("fp32", "fp16", "int8"), "onnx", ONNX, model="1/model.onnx"),
}


def default_path(options: argparse.Namespace, form: Form) -> Path:
    """In the run folder, with what differs from the plain form of best.pt in the name."""
    name, folder = Path(form.file), options.run
    parts = [name.stem]
    if options.run.is_file():
        folder = options.run.parent
        parts += [options.run.stem] * (options.run.name != "best.pt")
    parts += ["labels"] * options.labels
    parts += ["{}x{}".format(*options.size)] if options.size else []
    parts += [options.precision] * (options.precision != "fp32")
    return folder / name.parent / f"{'-'.join(parts)}{name.suffix}"
