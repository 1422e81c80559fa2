import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save, save_file, save_model

from segtrain.config.schema import ModelConfig
from segtrain.errors import ConfigError
from segtrain.models.model import build_model
from segtrain.models.pretrained import load_encoder_file
from tests.models.encoders import FIRST, SMP, TIMM, encoder_of, equal


def load(path: Path, encoder_name: str, channels: int = 3) -> tuple[torch.nn.Module, str]:
    encoder = encoder_of(encoder_name, channels)
    return encoder, load_encoder_file(encoder, str(path), encoder_name=encoder_name, channels=channels)


PREFIXES = ("", "encoder.", "net.encoder.", "module.", "backbone.", "model.", "module.model.encoder.", "a.b.c.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_a_state_dict(tmp_path, weights, prefix):
    path = tmp_path / "encoder.safetensors"
    save_file({prefix + key: tensor for key, tensor in weights.items()} | {"classifier.1.bias": torch.ones(5)}, path)
    encoder, said = load(path, SMP)
    assert equal(encoder.state_dict(), weights)
    assert said == f"{len(weights)} tensors of {path}; 1 not used: classifier.1.bias"


LIGHTNING = {
    "epoch": 3,
    "pytorch-lightning_version": "2.5.0",
    "state_dict": {},
    "loops": {"fit_loop": {"state_dict": {}}},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
    "hyper_parameters": {"lr": 1e-3, "encoder": "mobilenet_v2"},
}


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict", "teacher"])
def test_a_pth_file_with_the_state_dict_in_it(tmp_path, weights, key):
    path = tmp_path / "encoder.pth"
    torch.save(weights if key is None else {"epoch": 3, key: weights}, path)
    assert equal(load(path, SMP)[0].state_dict(), weights)


def test_a_checkpoint_of_lightning(tmp_path, weights):
    path = tmp_path / "epoch=3.ckpt"
    state = {f"model.encoder.{key}": tensor for key, tensor in weights.items()}
    torch.save(LIGHTNING | {"state_dict": state | {"model.decoder.x.weight": torch.ones(2)}}, path)
    encoder, said = load(path, SMP)
    assert equal(encoder.state_dict(), weights)
    assert said == f"{len(weights)} tensors of {path}; 1 not used: state_dict.model.decoder.x.weight"


# As timm names what its pyramids rename: FeatureListNet with and without its underscores, and FeatureGetterNet.
@pytest.mark.parametrize("name", ["test_convnext", "ghostnet_050", "test_efficientnet", "hiera_tiny_224", "pvt_v2_b0"])
def test_whole_networks_of_timm(tmp_path, name):
    torch.manual_seed(3)
    whole = timm.create_model(name)
    path = tmp_path / "model.safetensors"
    save_file(whole.state_dict(), path)
    encoder, said = load(path, f"tu-{name}")
    overlay = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}
    expected = timm.create_model(name, features_only=True, **overlay).state_dict()
    assert equal({key.removeprefix("model."): value for key, value in encoder.state_dict().items()}, expected)
    left = len(whole.state_dict()) - len(expected)
    assert said.startswith(f"{len(expected)} tensors of {path}; {left} not used: ")


def test_a_tensor_of_several_names_that_is_in_the_file_once(tmp_path):
    """The convolutions of CoaT's embeddings serve several blocks; safetensors keeps one name of each."""
    torch.manual_seed(3)
    whole = timm.create_model("coat_lite_tiny")
    save_model(whole, tmp_path / "model.safetensors")
    torch.save(whole.state_dict(), tmp_path / "model.pth")
    once, said = load(tmp_path / "model.safetensors", "tu-coat_lite_tiny")
    every, said_of_every = load(tmp_path / "model.pth", "tu-coat_lite_tiny")
    assert equal(once.state_dict(), every.state_dict())
    assert said.startswith("148 tensors of ") and said_of_every.startswith(f"{len(every.state_dict())} tensors of ")


def test_a_plain_transformer_at_another_size(tmp_path):
    """timm interpolates the embedding of positions."""
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("test_vit", img_size=96).state_dict(), path)
    config = ModelConfig(name="DPT", encoder_name="tu-test_vit", encoder_weights=str(path))
    model = build_model(config, channels=3, outputs=2)
    assert model.origin.endswith("; some of them resized or split by timm")


def test_efficientnets_of_lukemelas(tmp_path):
    """smp's own EfficientNets are his, names and all: timm's give the same last features with their weights."""
    torch.manual_seed(4)
    his = encoder_of("efficientnet-b0").eval()
    for module in his.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    path = tmp_path / "efficientnet-b0.pth"
    torch.save(his.state_dict() | {"_fc.bias": torch.zeros(1000)}, path)
    encoder, said = load(path, "tu-tf_efficientnet_b0")
    images = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(encoder.eval()(images)[-1], his(images)[-1])
    assert said.endswith("; 7 not used: _conv_head.weight, _bn1.weight, _bn1.bias and 4 more")


def test_names_of_older_densenets(tmp_path):
    torch.manual_seed(5)
    state = encoder_of("densenet121").state_dict()
    path = tmp_path / "densenet121.pth"
    torch.save(
        {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in state.items()}, path
    )
    assert equal(load(path, "densenet121")[0].state_dict(), state)


def test_a_file_of_an_installed_package(tmp_path, weights, monkeypatch):
    (tmp_path / "my_weights" / "models").mkdir(parents=True)
    (tmp_path / "my_weights" / "__init__.py").write_text("raise RuntimeError")  # it is not imported
    torch.save(weights, tmp_path / "my_weights" / "models" / "encoder.pth")
    monkeypatch.syspath_prepend(tmp_path)
    encoder, said = load(Path("my_weights/models/encoder.pth"), SMP)
    assert equal(encoder.state_dict(), weights)
    assert said == f"{len(weights)} tensors of my_weights/models/encoder.pth"


def test_timm_names_and_a_head_that_is_dropped(tmp_path, classifier):
    path = str(tmp_path / "model.safetensors")
    save_file(classifier, path)
    model = build_model(ModelConfig(encoder_name=f"tu-{TIMM}", encoder_weights=path), channels=3, outputs=2)
    for key, tensor in model.net.encoder.state_dict().items():
        assert torch.equal(tensor, classifier[key.removeprefix("model.")])
    assert "classifier.weight" in classifier


def test_a_first_convolution_for_another_number_of_channels(tmp_path, weights):
    path = str(tmp_path / "encoder.pth")
    torch.save(weights, path)
    rgb = weights[FIRST]
    for channels in (1, 5):
        encoder, said = load(path, SMP, channels)
        # Gray: the sum of red, green and blue. Five: they are repeated, and weigh 3/5 as much.
        expected = rgb.sum(1, keepdim=True) if channels == 1 else rgb[:, [0, 1, 2, 0, 1]] * 3 / 5
        torch.testing.assert_close(encoder.state_dict()[FIRST], expected)
        assert said == f"{len(weights)} tensors of {path}; {FIRST} adapted to {channels} channels"


def refused(path: Path | str, encoder_name: str = SMP) -> str:
    with pytest.raises(ConfigError) as error:
        load(path, encoder_name)
    return str(error.value)


def test_the_weights_of_another_encoder(tmp_path, weights, classifier):
    path = tmp_path / "encoder.pth"
    torch.save(classifier, path)
    assert refused(path).startswith(
        f"model.encoder_weights: {path} does not fit this encoder: 260 of its 312 tensors are missing, "
        f"like {FIRST}; the file contains conv_stem.weight, "
    )
    torch.save(weights | {FIRST: torch.zeros(8, 3, 3, 3)}, path)
    assert refused(path) == (
        f"model.encoder_weights: {path} does not fit this encoder: "
        f"{FIRST} is (8, 3, 3, 3) in the file, (32, 3, 3, 3) in the encoder"
    )


class Touch:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_files_that_hold_no_weights(tmp_path):
    path = tmp_path / "encoder.pth"
    assert refused(path) == (
        f"model.encoder_weights: {path} is not a file; write a path that exists, a name like imagenet, or null"
    )
    assert refused("no_package/encoder.pth") == (
        "model.encoder_weights: no_package/encoder.pth is not a file, and no package no_package is installed; "
        "write a path that exists, a name like imagenet, or null"
    )
    for content in ([1, 2], {"a": 1}, {}):
        torch.save(content, path)
        assert refused(path) == f"model.encoder_weights: {path} is not a state dict of tensors"
    torch.save({"encoder": Touch(tmp_path / "proof")}, path)
    assert refused(path) == f"model.encoder_weights: {path} was not loaded: it contains more than tensors"
    assert not (tmp_path / "proof").exists()
    path.write_text("<html>not found</html>")
    assert refused(path) == f"model.encoder_weights: {path} was not loaded: it contains more than tensors"
    path.write_bytes(b"")
    assert refused(path) == f"model.encoder_weights: {path} cannot be read: the file is truncated"
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(save({"a": torch.zeros(9)})[:-1])
    assert refused(path).startswith(f"model.encoder_weights: {path} cannot be read: ")
