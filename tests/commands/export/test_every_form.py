"""What holds of every form that is one graph for images of any size."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from segtrain.commands.export import exported_program, openvino, torchscript
from segtrain.commands.export import onnx as onnx_form
from segtrain.inference.runtimes.exported import quiet
from segtrain.inference.runtimes.openvino import import_openvino
from tests.commands.export.exporting import (
    UNET,
    assert_equal_networks,
    assert_equal_predictions,
    assert_labels_predict,
    images_of,
    loaded,
    options_of,
    real_network,
    refused,
    tiny_network,
)


def relu_as_onnx(path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "theirs", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)


def relu_as_openvino(path: Path) -> None:
    library = import_openvino("the test")  # the plain import would send a message
    relu_as_onnx(path.with_suffix(".onnx"))
    library.save_model(library.Core().read_model(path.with_suffix(".onnx")), path)


def relu_as_torchscript(path: Path) -> None:
    with quiet():
        torch.jit.save(torch.jit.script(nn.ReLU()), path)


def relu_as_program(path: Path) -> None:
    torch.export.save(torch.export.export(nn.ReLU(), (torch.zeros(1),)), path)


# module, name of a file, a writer of somebody else's file, what a damaged file is said not to be
FORMS = [
    (onnx_form, "model.onnx", relu_as_onnx, "an ONNX file that can be run"),
    (openvino, "model.xml", relu_as_openvino, "a model of OpenVINO"),
    (torchscript, "model.torchscript", relu_as_torchscript, "a TorchScript file"),
    (exported_program, "model.pt2", relu_as_program, "a program of torch.export"),
]
each_form = pytest.mark.parametrize(("form", "name", "write_other", "kind"), FORMS, ids=[name for _, name, *_ in FORMS])


@each_form
def test_any_number_of_images_of_any_size(tmp_path, form, name, write_other, kind):
    network = real_network(**UNET)
    form.export(network, tmp_path / name, options_of())
    exported = loaded(tmp_path / name)
    assert exported.task == network.task and exported.input_size is None and exported.batch_size is None
    assert_equal_networks(exported, network)
    assert_equal_predictions(exported, network)


@each_form
@pytest.mark.parametrize("task", [{"classes": 3}, {"classes": 1}, {"classes": 2, "multilabel": True}], ids=str)
def test_labels(tmp_path, form, name, write_other, kind, task):
    network = tiny_network(**task)
    network.task = network.task.with_thresholds([0.3, 0.6][: len(network.task.thresholds)])
    form.export(network, tmp_path / name, options_of(labels=True))
    assert_labels_predict(loaded(tmp_path / name), network)


@each_form
def test_halves(tmp_path, form, name, write_other, kind):
    network, images = tiny_network(), images_of(1, 33, 40)
    given = {}
    for precision in ("fp32", "fp16"):
        (tmp_path / precision).mkdir()
        form.export(network, tmp_path / precision / name, options_of(precision=precision))
        exported = loaded(tmp_path / precision / name)
        assert_equal_networks(exported, network, shapes=[(1, 33, 40)], atol=0.02)
        given[precision] = exported.probabilities(images)
    assert not torch.equal(given["fp16"], given["fp32"])


@each_form
def test_a_file_of_somebody_else(tmp_path, form, name, write_other, kind):
    path = tmp_path / name
    write_other(path)
    assert refused(path) == (
        f"{path}: was not exported by segtrain: its metadata has no 'segtrain'; write one with "
        "python -m segtrain export RUN"
    )


@each_form
def test_damaged_files(tmp_path, form, name, write_other, kind, capfd):
    path = tmp_path / name
    assert refused(path) == f"{path}: does not exist"
    form.export(tiny_network(), path, options_of())
    whole = path.read_bytes()
    capfd.readouterr()
    for content in (whole[: len(whole) // 2], b"no model", b""):
        path.write_bytes(content)
        start, _, reason = refused(path).partition("damaged: ")
        assert start == f"{path}: is not {kind}, or is "
        assert reason and "ONNXRuntimeError" not in reason
    assert capfd.readouterr() == ("", "")
