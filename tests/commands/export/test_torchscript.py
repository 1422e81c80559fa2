import io
import json
import zipfile

import pytest
import torch
from torch import Tensor, nn

from segtrain.commands.export.graph import quiet
from segtrain.commands.export.network import Note
from segtrain.commands.export.torchscript import export, load
from segtrain.errors import ConfigError
from tests.commands.export.exporting import (
    CPU,
    UNET,
    assert_equal_networks,
    assert_equal_predictions,
    assert_labels_predict,
    assert_unfit,
    images_of,
    options_of,
    real_network,
    refused,
    tiny_network,
)
from tests.tiny_model import TinyNet


def loaded(path):
    return load(path, device=CPU, precision=None)


def save_script(module: nn.Module, path, *, note: str = "") -> None:
    """TorchScript of any module, as an attacker has it."""
    with quiet():
        torch.jit.save(torch.jit.script(module), str(path), _extra_files={"segtrain": note} if note else {})


NOTE = Note.of(tiny_network().task, options_of()).model_dump_json()


class Writing(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        torch.save(images, "/tmp/written")
        return images


class Reading(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.from_file("/etc/passwd", size=8, dtype=torch.uint8)


class AtLoading(nn.Module):
    @torch.jit.export
    def __getstate__(self) -> bool:
        return self.training

    @torch.jit.export
    def __setstate__(self, state: bool) -> None:
        self.training = state
        print("loaded")

    def forward(self, images: Tensor) -> Tensor:
        return images


class Failing(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float() + torch.zeros(32, 32)


class Harmless(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images


def test_any_number_of_images_of_any_size(tmp_path):
    network = real_network(**UNET)
    export(network, tmp_path / "model.torchscript", options_of())
    exported = loaded(tmp_path / "model.torchscript")
    assert exported.task == network.task and exported.input_size is None and exported.batch_size is None
    assert_equal_networks(exported, network)
    assert_equal_predictions(exported, network)


@pytest.mark.parametrize("name", ["DeepLabV3Plus", "PAN", "UPerNet"])
def test_other_architectures(tmp_path, name):
    network = real_network(name=name, encoder_name="tu-resnet10t")
    export(network, tmp_path / "model.torchscript", options_of())
    assert_equal_networks(loaded(tmp_path / "model.torchscript"), network)


class OfOneWidth(TinyNet):
    """What it computes depends on the width that it was traced with."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.linspace(0, 4, int(images.shape[-1]))


@pytest.mark.parametrize("size", [(32, 64), (41, 70), (20, 20)])  # of multiples of the stride, others, and small ones
def test_it_is_traced_with_the_size_that_was_asked_for(tmp_path, size):
    network = tiny_network()
    network.model.net.__class__ = OfOneWidth
    export(network, tmp_path / "model.torchscript", options_of(size=size))
    assert_equal_networks(loaded(tmp_path / "model.torchscript"), network, shapes=[(2, *size)])


@pytest.mark.parametrize(
    "network",
    [tiny_network(), tiny_network(1), tiny_network(2, multilabel=True)],
    ids=lambda network: network.task.mode,
)
def test_labels(tmp_path, network):
    network.task = network.task.with_thresholds([0.3, 0.6][: len(network.task.thresholds)])
    export(network, tmp_path / "labels.torchscript", options_of(labels=True))
    assert_labels_predict(loaded(tmp_path / "labels.torchscript"), network)


def test_halves(tmp_path):
    network = tiny_network()
    for precision in ("fp32", "fp16"):
        export(network, tmp_path / f"{precision}.torchscript", options_of(precision=precision))
    assert_equal_networks(loaded(tmp_path / "fp16.torchscript"), network, shapes=[(1, 33, 40)], atol=0.02)
    images = images_of(1, 33, 40)
    halves, whole = (loaded(tmp_path / f"{precision}.torchscript") for precision in ("fp16", "fp32"))
    assert not torch.equal(halves.probabilities(images), whole.probabilities(images))


def test_what_others_read_in_the_file(tmp_path):
    export(tiny_network(), tmp_path / "model.torchscript", options_of())
    extra = {"names": "", "colors": "", "segtrain": ""}
    with quiet():
        torch.jit.load(tmp_path / "model.torchscript", _extra_files=extra)
    assert json.loads(extra["names"]) == ["class 0", "class 1", "class 2"]
    assert len(json.loads(extra["colors"])) == 3 and json.loads(extra["segtrain"])["output"] == "probabilities"


@pytest.mark.parametrize(
    ("module", "found"), [(Writing(), "save"), (Reading(), "from_file"), (AtLoading(), "__setstate__")]
)
def test_code_that_does_more_than_compute_is_not_loaded(tmp_path, module, found):
    path = tmp_path / "evil.torchscript"
    save_script(module, path, note=NOTE)
    name = f"code/__torch__/{type(module).__module__}.py"
    assert refused(load, path) == f"{path}: holds '{found}' in {name}, and is not loaded: it could run code"


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (b"ops.image.decode(images)", "ops.image.decode(images)"),
        (b"(ops #x\n  .image.decode(images))", "ops #x"),
        (b"ops\\\n .image.decode(images)", "ops\\"),
    ],
    ids=["plain", "comment", "backslash"],
)
def test_operations_of_other_libraries_are_not_loaded(tmp_path, call, found):
    path = tmp_path / "evil.torchscript"
    save_script(Harmless(), path, note=NOTE)
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            text = old.read(name)
            new.writestr(
                name,
                text.replace(b"return images", b"return " + call) if name.endswith(".py") else text,
            )
    path.write_bytes(content.getvalue())
    name = f"code/__torch__/{__name__}.py"
    assert refused(load, path) == f"{path}: holds '{found}' in {name}, and is not loaded: it could run code"


def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "theirs.torchscript"
    save_script(Harmless(), path)
    assert refused(load, path) == (
        f"{path}: was not exported by segtrain: its metadata has no 'segtrain'; write one with "
        "python -m segtrain export RUN"
    )


def test_damaged_files(tmp_path):
    path = tmp_path / "model.torchscript"
    assert refused(load, path) == f"{path}: cannot be read: No such file or directory"
    export(tiny_network(), path, options_of())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no model", b""):
        path.write_bytes(content)
        assert refused(load, path).startswith(f"{path}: is no TorchScript file, or damaged: ")


def test_half_precision_is_not_a_matter_of_loading(tmp_path):
    path = tmp_path / "model.torchscript"
    export(tiny_network(), path, options_of())
    with pytest.raises(ConfigError) as error:
        load(path, device=CPU, precision="fp16")
    assert str(error.value) == f"--precision fp16: {path} was exported in fp32; leave --precision out"


def test_a_note_that_does_not_fit(tmp_path):
    path = tmp_path / "model.torchscript"
    save_script(Harmless(), path, note=NOTE)
    assert_unfit(loaded(path), path, "gives 2 x 3 x 45 x 70 uint8", "says 2 x 3 x 45 x 70 float32")
    fixed = Note.of(tiny_network().task, options_of(size=(32, 32))).model_dump_json()
    save_script(Failing(), path, note=fixed)
    assert_unfit(loaded(path), path, "fails on images 2 x 3 x 45 x 70 uint8: ")


def test_records_that_swell_are_not_read(tmp_path):
    path = tmp_path / "bomb.torchscript"
    save_script(Harmless(), path, note=NOTE)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        top = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{top}/code/more.py", b" " * 10_000_000)
    message = refused(load, path)
    assert message.startswith(f"{path}: is not loaded: its ") and " bytes would become 10,0" in message
