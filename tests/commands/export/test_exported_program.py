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


def test_another_architecture(tmp_path):
    network = real_network(name="DeepLabV3Plus", encoder_name="tu-resnet10t")
    export(network, tmp_path / "model.pt2", options_of())
    assert_equal_networks(loaded(tmp_path / "model.pt2"), network)


def test_others_run_it_with_torch_alone(tmp_path):
    network = real_network(**UNET)
    export(network, tmp_path / "model.pt2", options_of())
    extra = {"names": "", "segtrain": ""}
    with quiet():
        program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["names"]) == ["class 0", "class 1", "class 2"]
    images = torch.randint(0, 256, (1, 3, 20, 50), dtype=torch.uint8)
    torch.testing.assert_close(program.module()(images), network.probabilities(images), rtol=0, atol=1e-5)


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
    says = (
        "Unet with encoder resnet34 cannot be exported for images of any size: Failed serializing node ceil in graph: "
    )
    assert str(error.value).startswith(says)
    assert str(error.value).endswith("; write --size H W, the size you need")
    assert not (tmp_path / "model.pt2").exists()
    export(network, tmp_path / "model.pt2", options_of(size=(48, 80)))
    exported = loaded(tmp_path / "model.pt2")
    assert exported.input_size == (48, 80)
    assert_equal_networks(exported, network, shapes=[(1, 48, 80), (3, 48, 80)])


def test_damaged_graphs(tmp_path, written, capfd):
    path = tmp_path / "model.pt2"
    for text in (b"[]", b"{", b'{"graph_module": 1}', b"[" * 100_000):
        rewritten(written, path, text)
        assert refused(path).startswith(f"{path}: is not a program of torch.export, or is damaged: ")
    assert capfd.readouterr() == ("", "")
