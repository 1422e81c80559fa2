import json
import math
import zipfile

import pytest
import torch

from segtrain.commands.export.exported_program import export
from segtrain.commands.export.graph import ExportError
from segtrain.inference.runtimes.exported import quiet
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
from tests.tiny_model import TinyNet


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small program."""
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    export(tiny_network(), path, options_of())
    return path


MODEL = "models/model.json"


def rewritten(path, target, model: bytes) -> None:
    """The archive with another description of the graph."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, model if name.endswith(MODEL) else old.read(name))


@pytest.mark.parametrize(
    "model", [UNET, {"name": "DeepLabV3Plus", "encoder_name": "tu-resnet10t"}], ids=lambda model: model["name"]
)
def test_any_number_of_images_of_any_size(tmp_path, model):
    network = real_network(**model)
    export(network, tmp_path / "model.pt2", options_of())
    exported = loaded(tmp_path / "model.pt2")
    assert exported.task == network.task and exported.input_size is None and exported.batch_size is None
    assert_equal_networks(exported, network)
    assert_equal_predictions(exported, network)


def test_others_run_it_with_torch_alone(tmp_path):
    network = real_network(**UNET)
    export(network, tmp_path / "model.pt2", options_of())
    extra = {"names": "", "segtrain": ""}
    with quiet():
        program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["names"]) == ["class 0", "class 1", "class 2"]
    images = torch.randint(0, 256, (1, 3, 20, 50), dtype=torch.uint8)
    torch.testing.assert_close(program.module()(images), network.probabilities(images), rtol=0, atol=1e-5)


def test_labels(tmp_path):
    network = tiny_network(2, multilabel=True)
    network.task = network.task.with_thresholds([0.3, 0.6])
    export(network, tmp_path / "labels.pt2", options_of(labels=True))
    assert_labels_predict(loaded(tmp_path / "labels.pt2"), network)


def test_halves(tmp_path, written):
    network, path = tiny_network(), tmp_path / "model.pt2"
    export(network, path, options_of(precision="fp16"))
    assert_equal_networks(loaded(path), network, shapes=[(1, 33, 40)], atol=0.02)
    images = images_of(1, 33, 40)
    assert not torch.equal(loaded(path).probabilities(images), loaded(written).probabilities(images))


def test_a_file_does_not_tell_where_it_was_made(written):
    with zipfile.ZipFile(written) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(MODEL))
        assert b"graph.py" not in archive.read(name)


class Thirds(TinyNet):
    """A network that rounds a size in a way that the file format has no word for."""

    def forward(self, images):
        logits = super().forward(images)
        return logits + logits[..., : math.ceil(images.shape[-1] / 3)].mean()


def test_what_cannot_be_traced_for_any_size_can_be_for_one(tmp_path):
    network = tiny_network()
    network.model.net.__class__ = Thirds
    with pytest.raises(ExportError) as error:
        export(network, tmp_path / "model.pt2", options_of())
    says = "Unet resnet34 cannot be exported for images of any size: Failed serializing node ceil in graph: "
    assert str(error.value).startswith(says)
    assert str(error.value).endswith("; write --size H W, the size you need")
    assert not (tmp_path / "model.pt2").exists()
    export(network, tmp_path / "model.pt2", options_of(size=(48, 80)))
    exported = loaded(tmp_path / "model.pt2")
    assert exported.input_size == (48, 80)
    assert_equal_networks(exported, network, shapes=[(1, 48, 80), (3, 48, 80)])


def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "theirs.pt2"
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), path)
    assert refused(path) == (
        f"{path}: was not exported by segtrain: its metadata has no 'segtrain'; export one with python -m segtrain "
        f"export RUN"
    )


def test_damaged_files(tmp_path, written, capfd):
    path = tmp_path / "model.pt2"
    assert refused(path) == f"{path}: does not exist"
    whole = written.read_bytes()
    for content in (whole[: len(whole) // 2], b"no model", b""):
        path.write_bytes(content)
        assert refused(path).startswith(f"{path}: is not a program of torch.export or is damaged: ")
    for text in (b"[]", b"{", b'{"graph_module": 1}', b"[" * 100_000):
        rewritten(written, path, text)
        assert refused(path).startswith(f"{path}: is not a program of torch.export or is damaged: ")
    assert capfd.readouterr() == ("", "")
